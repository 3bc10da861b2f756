"""How popular each item is: for everybody, and within each segment of users."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark.transforms.events import CutEnds, cut_end, exact

EVERYBODY = ""


def popularity(events: DataFrame, profiles: DataFrame, ends: CutEnds, half_life_days: float) -> DataFrame:
    """One row a cut, segment ('' is everybody) and item: num_events, first_at, popularity.

    popularity = sum over days of the day's weights x 0.5^(age / half_life_days), age = whole days before
    the cut's last day. A day's weights are summed exactly, and the days in order.

    Args:
        events: recent events by cut.
        profiles: user_idx and segment.
        ends: end of each cut.
        half_life_days: days after which an event counts half.
    """
    daily = (
        events.join(profiles.select("user_idx", "segment"), "user_idx", how="left")
        .withColumn("segment", F.coalesce("segment", F.lit(EVERYBODY)))
        .withColumn("segment", F.explode(F.array_distinct(F.array(F.lit(EVERYBODY), F.col("segment")))))
        .groupBy("cut", "segment", "item_idx", F.to_date("event_at").alias("day"))
        .agg(
            F.sum(exact(F.col("weight"))).cast("double").alias("weight"),
            F.count(F.lit(1)).alias("num_events"),
            F.min("event_at").alias("first_at"),
        )
    )
    age = F.date_diff(F.to_date(cut_end(ends)), F.col("day")) - 1
    decayed = F.col("weight") * F.pow(F.lit(0.5), age / F.lit(float(half_life_days)))
    return (
        daily.withColumn("decayed", F.struct("day", decayed.alias("weight")))
        .groupBy("cut", "segment", "item_idx")
        .agg(
            F.sum("num_events").alias("num_events"),
            F.min("first_at").alias("first_at"),
            F.sort_array(F.collect_list("decayed")).alias("days"),
        )
        .withColumn(
            "popularity", F.aggregate("days.weight", F.lit(0.0), lambda total, weight: total + weight)
        )
        .drop("days")
    )


def segment_popularity(popular: DataFrame) -> DataFrame:
    """SEGMENT_POPULARITY without its run_date, of what `popularity` gives."""
    return popular.where(F.col("popularity") > 0).select("segment", "item_idx", "popularity", "cut")


def num_users(events: DataFrame) -> DataFrame:
    """Distinct users of each cut and item."""
    pairs = events.select("cut", "item_idx", "user_idx").distinct()
    return pairs.groupBy("cut", "item_idx").agg(F.count(F.lit(1)).alias("num_users"))
