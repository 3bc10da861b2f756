"""Take in what arrived for the run date, refuse what is bad, and account for every record.

Reads   the files that each source's mapping names for the run date
Writes  users, items   what catalogues and user files said
        quarantine     records that were refused, with the reason
        source_files   one row a file and table: its sha256 and what became of its records
        interactions   the events, written last: the next job reads them
"""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

from pyspark.sql import SparkSession

from recsys_spark import cli, tables
from recsys_spark.config import Config
from recsys_spark.lake import Lake
from recsys_spark.sources import arrival


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Read the night's files and write them, all or nothing of what is bad."""
    sources = {name: (source.mapping, source.folder) for name, source in config.sources.items()}
    tolerance = arrival.Tolerance(**config.ingest.model_dump())
    with arrival.arrived(spark, sources, run_date, tolerance) as arrived:
        frames = (
            (tables.USERS, arrived.users),
            (tables.ITEMS, arrived.items),
            (tables.QUARANTINE, arrived.quarantine),
        )
        with ThreadPoolExecutor(
            len(frames)
        ) as pool:  # of a small night, most is Spark's planning, on one core
            writes = [pool.submit(lake.write, spark, table, run_date, frame) for table, frame in frames]
        for write in writes:
            write.result()
        lake.write_rows(tables.SOURCE_FILES, run_date, arrived.source_files)
        lake.write(spark, tables.INTERACTIONS, run_date, arrived.interactions)


if __name__ == "__main__":
    cli.main(run)
