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
from functools import partial

from pyspark.sql import SparkSession

from recsys_spark import cli, tables
from recsys_spark.config import Config
from recsys_spark.evaluation import offered, rules
from recsys_spark.evaluation.offered import Limits
from recsys_spark.lake import Lake


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Raise RuleBrokenError naming every broken rule and how often."""
    of_night = partial(lake.read, spark, run_date=run_date, cut="night")
    seen, users, items = (
        of_night(t) for t in (tables.SEEN_ITEMS, tables.USER_FEATURES, tables.ITEM_FEATURES)
    )
    first = run_date - dt.timedelta(days=config.rules.of_nights if config.rules.max_nights else 0)
    left_out = {
        "seen_item": seen.limit(0) if config.recommend.repeats == "allowed" else seen,
        "item_blocked_by_user": of_night(tables.BLOCKED_ITEMS),
        "item_shown_often": offered.shown_often(
            lake.read(spark, tables.RECOMMENDATIONS, since=first, until=run_date - dt.timedelta(days=1)),
            users,
            items,
            (run_date, config.rules.of_nights, config.rules.max_nights),
        ),
    }
    limits = Limits(**{name: value for name, value in config.rules if name in Limits._fields})
    counts = rules.broken_rules(
        of_night(tables.LISTS), users, items, left_out, config.recommend.num_items, limits
    )
    rules.refuse_broken(counts, run_date)


if __name__ == "__main__":
    cli.main(run)
