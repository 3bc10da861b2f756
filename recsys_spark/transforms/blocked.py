"""Items a user asked not to get: events of some types block an item, and teach the model nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark.transforms.events import cut_end
from recsys_spark.transforms.timelines import CutEnds


def without_blocking(interactions: DataFrame, types: Sequence[str]) -> DataFrame:
    """What is learnt from."""
    return interactions.where(~F.col("event_type").isin(*types))


def blocking(
    interactions: DataFrame,
    user_index: DataFrame,
    item_index: DataFrame,
    run_date: dt.date,
    types: Sequence[str],
) -> DataFrame:
    """`user_idx`, `item_idx`, `event_at` of the events of these types, up to the end of the run date."""
    until = dt.datetime.combine(run_date + dt.timedelta(days=1), dt.time(), tzinfo=dt.UTC)
    return (
        interactions.where(F.col("event_type").isin(*types) & (F.col("event_at") < F.lit(until)))
        .join(user_index.select("user_id", "user_idx"), "user_id", how="inner")
        .join(item_index.select("item_id", "item_idx"), "item_id", how="inner")
        .select("user_idx", "item_idx", "event_at")
    )


def blocked_items(blocking: DataFrame, ends: CutEnds) -> DataFrame:
    """BLOCKED_ITEMS without its run_date: for each cut what was blocked before its end."""
    by_cut = blocking.withColumn("cut", F.explode(F.array(*map(F.lit, ends))))
    return (
        by_cut.where(F.col("event_at") < cut_end(ends))
        .groupBy("user_idx", "cut")
        .agg(F.sort_array(F.collect_set("item_idx")).alias("items"))
        .select("user_idx", "items", "cut")
    )
