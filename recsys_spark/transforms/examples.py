"""The three example tables: one row an event, one row a window of events, one row a user."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from recsys_spark.transforms.events import exact
from recsys_spark.transforms.padding import event_lists, event_row, left_padded, right_padded
from recsys_spark.transforms.popularity import EVERYBODY


def item_weights(popular: DataFrame, power: float) -> DataFrame:
    """One row a cut and item: `item_weight` = (mean events of an item / this item's)^power.

    Args:
        popular: what `popularity` gives.
        power: 0 gives every item weight 1.
    """
    counts = popular.where(F.col("segment") == EVERYBODY).select("cut", "item_idx", "num_events")
    of_cut = counts.groupBy("cut").agg((F.sum("num_events") / F.count(F.lit(1))).alias("mean_events"))
    weight = F.pow(F.col("mean_events") / F.col("num_events"), F.lit(float(power)))
    return counts.join(F.broadcast(of_cut), "cut", how="inner").select(
        "cut", "item_idx", weight.alias("item_weight")
    )


def event_examples(events: DataFrame, weights: DataFrame | None) -> DataFrame:
    """One row an event: EVENT_EXAMPLES without its run_date.

    Args:
        events: recent events by cut.
        weights: what `item_weights` gives; None: every item weighs 1.
    """
    return _weighted(events, weights).select(
        "user_idx",
        "item_idx",
        _value().alias("value"),
        (F.col("weight") * F.col("item_weight")).cast("float").alias("weight"),
        "event_at",
        "cut",
    )


def sequence_examples(events: DataFrame, length: int) -> DataFrame:
    """Windows of `length` + 1 positions, counted back from the newest event: SEQUENCE_EXAMPLES without its run_date.

    A window's first event is the last of the next older window, so every event but the user's first is a
    target in exactly one window. A user with a single event has no window. Example, length 2, events
    1 2 3 4 oldest first: window 0 is 2 3 4 (targets 3, 4), window 1 is 0 1 2 (target 2).

    Args:
        events: recent events by cut.
        length: L.
    """
    place = F.col("place") - 1
    window = F.floor(place / length).cast("int")
    is_shared = (place % length == 0) & (place > 0)
    return (
        events.withColumn(
            "window", F.explode(F.when(is_shared, F.array(window - 1, window)).otherwise(F.array(window)))
        )
        .groupBy("cut", "user_idx", "window")
        .agg(F.sort_array(F.collect_list(event_row(-place))).alias("events"))
        .where(F.size("events") > 1)
        .select(
            "user_idx", "window", *event_lists("events", length + 1), _mask(length + 1).alias("mask"), "cut"
        )
    )


def user_examples(events: DataFrame, weights: DataFrame | None, length: int) -> DataFrame:
    """One row a user, its newest `length` distinct items: USER_EXAMPLES without its run_date.

    Args:
        events: recent events by cut.
        weights: what `item_weights` gives; None: every item weighs 1.
        length: positions; what does not fit is counted in num_overflow.
    """
    items = events.groupBy("cut", "user_idx", "item_idx").agg(
        F.min("place").alias("newest"),
        F.min_by("value", "place").alias("value"),
        F.sum(exact(F.col("weight"))).cast("double").alias("weight"),
    )
    newest = Window.partitionBy("cut", "user_idx").orderBy("newest")
    listed = F.struct(
        "place",
        "item_idx",
        _value().alias("value"),
        (F.col("weight") * F.col("item_weight")).cast("float").alias("weight"),
    )
    return (
        _weighted(items, weights)
        .withColumn("place", F.row_number().over(newest))
        .groupBy("cut", "user_idx")
        .agg(
            F.sort_array(F.collect_list(F.when(F.col("place") <= length, listed))).alias("listed"),
            F.count(F.lit(1)).alias("num_distinct"),
        )
        .select(
            "user_idx",
            right_padded(F.col("listed.item_idx"), length, "int").alias("items"),
            right_padded(F.col("listed.value"), length, "float").alias("values"),
            right_padded(F.col("listed.weight"), length, "float").alias("weights"),
            F.size("listed").alias("num_items"),
            (F.col("num_distinct") - F.size("listed")).cast("int").alias("num_overflow"),
            "cut",
        )
    )


def in_hashed_order(examples: DataFrame) -> DataFrame:
    """Rows by cut, then by a hash of the user: neighbours in a row group have nothing in common."""
    order = F.xxhash64("user_idx", F.lit("row groups"))
    return examples.sortWithinPartitions("cut", order, *_ties(examples))


def _ties(examples: DataFrame) -> list[str]:
    return [name for name in ("user_idx", "window", "event_at", "item_idx") if name in examples.columns]


def _weighted(rows: DataFrame, weights: DataFrame | None) -> DataFrame:
    if weights is None:
        return rows.withColumn("item_weight", F.lit(1.0))
    return rows.join(weights, ["cut", "item_idx"], how="inner")


def _value() -> Column:
    return F.coalesce("value", F.lit(float("nan"))).cast("float")


def _mask(length: int) -> Column:
    targets = F.array_repeat(F.lit(1), F.size("events") - 1)
    return left_padded(F.concat(F.array(F.lit(0)), targets), length, "int")
