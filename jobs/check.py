"""Count what tonight's lists break of their rules; fail before anybody can read them.

Reads   lists           cut night
        user_features   who is active, cut night
        item_features   what is available, cut night
        seen_items      what may not come back, cut night
        blocked_items   what users asked not to get, cut night
        recommendations of the last nights: what was shown too often
Writes  nothing
"""

from __future__ import annotations

import datetime as dt

from pyspark.sql import SparkSession

from recsys_spark import cli, tables
from recsys_spark.config import Config
from recsys_spark.evaluation.checks import items, recount, users
from recsys_spark.evaluation.checks.shown_often import shown_often
from recsys_spark.lake import Lake
from recsys_spark.scoring.rules import Rules


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Raise RuleBrokenError naming every broken rule and how often."""
    num_items, repeats = config.recommend.num_items, config.recommend.repeats
    of_nights, max_nights = config.rules.of_nights, config.rules.max_nights
    rules = Rules(**{name: value for name, value in config.rules if name in Rules._fields})
    first, last = (run_date - dt.timedelta(days=days) for days in (of_nights, 1))

    lists = lake.read(spark, tables.LISTS, run_date, cut="night")
    user_features = lake.read(spark, tables.USER_FEATURES, run_date, cut="night")
    left_out = {"item_blocked_by_user": lake.read(spark, tables.BLOCKED_ITEMS, run_date, cut="night")}
    if repeats == "forbidden":
        left_out["seen_item"] = lake.read(spark, tables.SEEN_ITEMS, run_date, cut="night")
    if max_nights:
        shown = lake.read(spark, tables.RECOMMENDATIONS, since=first, until=last)
        item_features = lake.read(spark, tables.ITEM_FEATURES, run_date, cut="night")
        left_out["item_shown_often"] = shown_often(
            shown, user_features, item_features, run_date=run_date, of_nights=of_nights, max_nights=max_nights
        )
    rows = lake.read_rows(tables.ITEM_FEATURES, run_date, cut="night", columns=items.COLUMNS)

    by_user = users.by_user(lists, user_features, left_out)
    facts = items.items_of(rows, rules.blocked_items, rules.blocked_categories)
    recount.refuse_broken(recount.broken_rules(by_user, facts, [*left_out], num_items, rules), run_date)


if __name__ == "__main__":
    cli.main(run)
