"""Number the users and items that arrived tonight.

Reads   interactions  what arrived on the run date
        items, users  what arrived on the run date
Writes  user_index    new users appended; a known user keeps its number
        item_index    new items appended; a known item keeps its number

Running a date again, or two dates at once, changes no number.
"""

from __future__ import annotations

import datetime as dt
from functools import partial

from pyspark.sql import SparkSession

from recsys_spark import cli, tables
from recsys_spark.config import Config
from recsys_spark.lake import Lake
from recsys_spark.transforms import index


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Append tonight's new ids to both indexes."""
    events = lake.read(spark, tables.INTERACTIONS, run_date)
    for kind, numbers, listing in (
        ("user", tables.USER_INDEX, tables.USERS),
        ("item", tables.ITEM_INDEX, tables.ITEMS),
    ):
        arrived = index.ids_in([events, lake.read(spark, listing, run_date)], kind)
        num_known = partial(lake.num_rows, numbers)  # asked again when another run appended meanwhile
        new = partial(index.new_ids, arrived, num_known=num_known, kind=kind, run_date=run_date)
        lake.append(spark, numbers, run_date, new)


if __name__ == "__main__":
    cli.main(run)
