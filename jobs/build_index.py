"""Number the users and items that arrived tonight.

Reads   interactions  what arrived on the run date
        items, users  what arrived on the run date
Writes  user_index    new users appended; a known user keeps its number
        item_index    new items appended; a known item keeps its number

Running a date again, or two dates at once, changes no number.
"""

from __future__ import annotations

import datetime as dt

from pyspark.sql import DataFrame, SparkSession

from recsys_spark import cli, tables
from recsys_spark.config import Config
from recsys_spark.lake import Lake
from recsys_spark.transforms import index


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Append tonight's new ids to both indexes."""
    events = lake.read(spark, tables.INTERACTIONS, run_date)
    plan = (("user", tables.USER_INDEX, tables.USERS), ("item", tables.ITEM_INDEX, tables.ITEMS))
    for kind, index_table, listing in plan:
        arrived = index.ids_in([events, lake.read(spark, listing, run_date)], kind)

        def new(
            known: DataFrame,
            arrived: DataFrame = arrived,
            kind: str = kind,
            index_table: tables.Table = index_table,
        ) -> DataFrame:
            return index.new_ids(arrived, known, lake.num_rows(index_table), kind, run_date)

        lake.append(spark, index_table, run_date, new)


if __name__ == "__main__":
    cli.main(run)
