"""How popular each item is: for everybody, and within each segment of users."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from recsys_spark.transforms.events import CutEnds, exact, is_seen

EVERYBODY = ""


def popularity(
    events: DataFrame, profiles: DataFrame, ends: CutEnds, half_life_days: float, num_partitions: int
) -> DataFrame:
    """One row a cut, segment ('' is everybody) and item: num_events, first_at, popularity.

    popularity = sum over days of the day's weights x 0.5^(age / half_life_days), age = whole days before
    the cut's last day. A day's weights are summed exactly, and the days in order.

    Args:
        events: recent events with places.
        profiles: user_idx and segment.
        ends: end of each cut.
        half_life_days: days after which an event counts half.
        num_partitions: of the result, by item.
    """
    segments = profiles.where(F.col("segment") != EVERYBODY).select("user_idx", "segment")
    daily, in_day, in_all, rows = [], {}, [], []
    to_day = (
        Window.partitionBy("segment", "item_idx").orderBy("day").rowsBetween(Window.unboundedPreceding, 0)
    )
    for cut, end in ends.items():
        weight, num, first, total = (f"{name}_{cut}" for name in ("weight", "num", "first", "total"))
        age = F.date_diff(F.to_date(F.lit(end)), F.col("day")) - 1
        daily += [
            F.sum(F.when(is_seen(cut), F.col("weight"))).cast("double").alias(weight),
            F.count_if(is_seen(cut)).alias(num),
            F.min(F.when(is_seen(cut), F.col("event_at"))).alias(first),
        ]
        decayed = F.col(weight) * F.pow(F.lit(0.5), age / F.lit(float(half_life_days)))
        in_day[total] = F.sum(decayed).over(to_day)
        in_all += [F.sum(num).alias(num), F.min(first).alias(first), F.max_by(total, "day").alias(total)]
        rows.append(
            F.struct(
                F.lit(cut).alias("cut"),
                F.col(num).alias("num_events"),
                F.col(first).alias("first_at"),
                F.col(total).alias("popularity"),
            )
        )
    return (
        events.join(segments, "user_idx", how="left")
        .withColumn("segment", F.explode(F.array_compact(F.array(F.lit(EVERYBODY), F.col("segment")))))
        .repartition(num_partitions, "item_idx")  # once, for all that follows
        .withColumn("weight", exact(F.col("weight")))
        .groupBy("segment", "item_idx", F.to_date("event_at").alias("day"))
        .agg(*daily)
        .withColumns(in_day)
        .groupBy("segment", "item_idx")
        .agg(*in_all)
        .select("segment", "item_idx", F.inline(F.array(*rows)))
        .where(F.col("num_events") > 0)
    )


def segment_popularity(popular: DataFrame) -> DataFrame:
    """SEGMENT_POPULARITY without its run_date, of what `popularity` gives."""
    return popular.where(F.col("popularity") > 0).select("segment", "item_idx", "popularity", "cut")


def num_users(events: DataFrame, cuts: Iterable[str]) -> DataFrame:
    """Distinct users of each cut and item, of events with places."""
    cuts = list(cuts)
    pairs = events.groupBy("user_idx", "item_idx").agg(*[F.bool_or(is_seen(cut)).alias(cut) for cut in cuts])
    in_cut = [F.struct(F.lit(cut).alias("cut"), F.count_if(cut).alias("num_users")) for cut in cuts]
    counted = pairs.groupBy("item_idx").agg(F.array(*in_cut).alias("in_cut"))
    return counted.select("item_idx", F.inline("in_cut")).where(F.col("num_users") > 0)
