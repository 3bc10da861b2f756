"""Item-to-item counts: how often an item was followed by another, the nearer the more."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from recsys_spark.tables import FIRST_IDX

UNIT = 2**20  # a count of 1: whole numbers, whose sums do not depend on the partitioning


def transition_counts(windows: DataFrame, max_lag: int, lag_decay: float) -> DataFrame:
    """One row an item and another that followed it: item_idx, next_item_idx and `count`, a long above 0.

    A target (mask 1) counts for each item up to `max_lag` positions before it in its window, once an
    occurrence: its weight x lag_decay^(lag - 1), rounded half up in units of 2^-20. Example, lag_decay 0.5,
    weights 1: the window 7 8 9 gives 7 -> 8 and 8 -> 9 a whole unit, 7 -> 9 half of one. Since a target
    stands in one window only, what two windows share is counted once.

    Args:
        windows: SEQUENCE_EXAMPLES of one cut.
        max_lag: at least 1; positions further back do not count.
        lag_decay: above 0, at most 1.
    """
    length, lag = F.size("items"), F.col("lag")
    num_targets = length - lag
    followed = F.arrays_zip(
        F.slice("items", 1, num_targets),
        F.slice("items", lag + 1, num_targets),
        F.slice("weights", lag + 1, num_targets),
        F.slice("mask", lag + 1, num_targets),
    )
    item, next_item = F.col("item_idx"), F.col("next_item_idx")
    not_finite = F.raise_error(F.lit("sequence_examples: a weight is not finite; run build_features again"))
    weight = F.col("weight").cast("double")
    finite = F.when(F.abs(weight) < F.lit(float("inf")), weight).otherwise(not_finite.cast("double"))
    # Once a window and lag, not once an event.
    unit = F.lit(float(UNIT)) * F.pow(F.lit(float(lag_decay)), lag - 1)
    return (
        windows.where(length > 1)
        .select(
            "items",
            "weights",
            "mask",
            F.explode(F.sequence(F.lit(1), F.least(F.lit(max_lag), length - 1))).alias("lag"),
        )
        .select(
            unit.alias("unit"), F.inline(followed).alias("item_idx", "next_item_idx", "weight", "is_target")
        )
        .where(
            (F.col("is_target") == 1) & (item >= FIRST_IDX) & (next_item >= FIRST_IDX) & (item != next_item)
        )
        .groupBy("item_idx", "next_item_idx")
        .agg(F.sum(F.floor(finite * F.col("unit") + 0.5)).alias("count"))
        .where(F.col("count") > 0)
    )


def only_nearest(counts: DataFrame, max_neighbours: int) -> DataFrame:
    """Keep each item's `max_neighbours` greatest counts; ties stay by next_item_idx ascending.

    Spark drops most rows before they are shuffled: it keeps the first ones of each partition.
    """
    greatest = Window.partitionBy("item_idx").orderBy(F.desc("count"), F.asc("next_item_idx"))
    return (
        counts.withColumn("nth", F.row_number().over(greatest))
        .where(F.col("nth") <= max_neighbours)
        .select("item_idx", "next_item_idx", "count")
    )
