"""Lists in files that load in bulk: ranges of user_id that do not meet, each in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import DataFrame, SparkSession

_ARROW = "spark.sql.execution.arrow"


def in_ranges(users: DataFrame, num_partitions: int) -> DataFrame:
    """Part the users into ranges of user_id, each in order; what ranks them partition by partition keeps both.

    Args:
        num_partitions: at most so many; adaptive execution leaves alone a number that is asked for. Spark
            samples where ranges end, so a re-run may cut at other users; the rows stay the same.
    """
    return in_file_order(users.repartitionByRange(num_partitions, "user_id"))


def in_file_order(rows: DataFrame) -> DataFrame:
    """Sort each partition by user_id: what Python makes of it, and writes, is in that order."""
    return rows.sortWithinPartitions("user_id")


@contextmanager
def arrow_batches(spark: SparkSession, num_rows: int, num_bytes: int) -> Iterator[None]:
    """Hand rows to Python in batches that end at whichever comes first; afterwards as before."""
    wanted = {f"{_ARROW}.maxRecordsPerBatch": num_rows, f"{_ARROW}.maxBytesPerBatch": num_bytes}
    before = {name: str(spark.conf.get(name)) for name in wanted}
    try:
        for name, value in wanted.items():
            spark.conf.set(name, value)
        yield
    finally:
        for name, old in before.items():
            spark.conf.set(name, old)
