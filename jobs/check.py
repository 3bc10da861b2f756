"""Count what tonight's lists break of their rules; fail before anybody can read them.

Reads   lists           cut night
        user_features   who is active, cut night
        item_features   what is available, cut night
        seen_items      what may not come back, cut night
Writes  nothing
"""

from __future__ import annotations

import datetime as dt

from pyspark.sql import SparkSession

from recsys_spark import cli, tables
from recsys_spark.config import Config
from recsys_spark.evaluation import rules
from recsys_spark.lake import Lake


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Raise RuleBrokenError naming every broken rule and how often."""
    seen_items = lake.read(spark, tables.SEEN_ITEMS, run_date, cut="night")
    if config.recommend.repeats == "allowed":
        seen_items = seen_items.limit(0)
    counts = rules.broken_rules(
        lake.read(spark, tables.LISTS, run_date, cut="night"),
        lake.read(spark, tables.USER_FEATURES, run_date, cut="night"),
        lake.read(spark, tables.ITEM_FEATURES, run_date, cut="night"),
        seen_items,
        config.recommend.num_items,
    )
    rules.refuse_broken(counts, run_date)


if __name__ == "__main__":
    cli.main(run)
