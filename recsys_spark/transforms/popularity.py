"""How popular each item is: for everybody, and within each segment of users."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from recsys_spark.transforms.pairs import pairs
from recsys_spark.transforms.timelines import CutEnds, Timelines, read_off

EVERYBODY = ""
_DAY = 86_400_000_000
_PARTS = 10**9  # a weight's fraction counts in these
_MOST = 1e12


def popularity(
    timelines: DataFrame, profiles: DataFrame, ends: CutEnds, half_life_days: float, num_partitions: int
) -> DataFrame:
    """One row a cut, segment ('' is everybody) and item: num_events, first_at, popularity, of recent events.

    popularity = sum over days of the day's weights x 0.5^(age / half_life_days), age = whole days before
    the cut's last day. A day's weights are summed as whole numbers of 10^-9, and the days in order; a weight
    above 10^12 counts as that.

    Args:
        timelines: what `timelines.timelines` gives.
        profiles: user_idx and segment.
        ends: end of each cut to build.
        half_life_days: days after which an event counts half.
        num_partitions: of the result, by item.
    """
    segments = profiles.where(F.col("segment") != EVERYBODY).select("user_idx", "segment")
    to_day = (
        Window.partitionBy("segment", "item_idx")
        .orderBy("day", "in_cuts")
        .rowsBetween(Window.unboundedPreceding, 0)
    )
    in_day, in_all, rows = {}, [], []
    for number, (cut, end) in enumerate(ends.items()):
        is_seen = F.col("in_cuts").bitwiseAND(F.lit(1 << number)) != 0
        age = F.date_diff(F.to_date(F.lit(end)), F.date_from_unix_date("day")) - 1
        decayed = F.when(is_seen, F.col("weight") * F.pow(F.lit(0.5), age / F.lit(float(half_life_days))))
        num, first, total = (f"{name}_{cut}" for name in ("num", "first", "total"))
        in_day[total] = F.sum(decayed).over(to_day)
        in_all += [
            F.sum(F.when(is_seen, F.col("num"))).alias(num),
            F.min(F.when(is_seen, F.col("first_at"))).alias(first),
            F.max_by(total, F.struct("day", "in_cuts")).alias(total),
        ]
        rows.append(
            F.struct(
                F.lit(cut).alias("cut"),
                F.col(num).alias("num_events"),
                F.timestamp_micros(first).alias("first_at"),
                F.col(total).alias("popularity"),
            )
        )
    whole = F.floor("weight")
    return (
        _recent_events(timelines, ends)
        .join(segments, "user_idx", how="left")
        .withColumn("segment", F.explode(F.array_compact(F.array(F.lit(EVERYBODY), F.col("segment")))))
        .repartition(num_partitions, "item_idx")  # once, for all that follows
        .withColumn("weight", F.least("weight", F.lit(_MOST)))
        .groupBy(
            "segment", "item_idx", _floor_div(F.col("event_at"), _DAY).cast("int").alias("day"), "in_cuts"
        )
        .agg(
            F.sum(whole).alias("whole"),
            F.sum(F.rint((F.col("weight") - whole) * _PARTS).cast("long")).alias("parts"),
            F.count(F.lit(1)).alias("num"),
            F.min("event_at").alias("first_at"),
        )
        .withColumn("weight", F.col("whole").cast("double") + F.col("parts") / float(_PARTS))
        .withColumns(in_day)
        .groupBy("segment", "item_idx")
        .agg(*in_all)
        .select("segment", "item_idx", F.inline(F.array(*rows)))
        .where(F.col("num_events") > 0)
    )


def segment_popularity(popular: DataFrame) -> DataFrame:
    """SEGMENT_POPULARITY without its run_date, of what `popularity` gives."""
    return popular.where(F.col("popularity") > 0).select("segment", "item_idx", "popularity", "cut")


def num_users(timelines: DataFrame, cuts: Iterable[str]) -> DataFrame:
    """Distinct users of each cut and item with recent events."""
    cuts = list(cuts)

    def make(users: Timelines) -> Iterator[pa.RecordBatch]:
        for cut in cuts:
            item_idx, num = np.unique(pairs(users, users.recent(cut)).item_idx, return_counts=True)
            columns = {
                "item_idx": pa.array(item_idx.astype(np.int32)),
                "num_users": pa.array(num),
                "cut": pa.repeat(cut, len(num)),
            }
            yield pa.RecordBatch.from_pydict(columns)

    counted = read_off(timelines, ["item_idx"], make, "item_idx int, num_users long, cut string")
    return counted.groupBy("cut", "item_idx").agg(F.sum("num_users").alias("num_users"))


def _recent_events(timelines: DataFrame, ends: CutEnds) -> DataFrame:
    """Events that a cut sees; bit n of `in_cuts` says whether the n-th cut does."""
    cuts = list(ends)

    def make(users: Timelines) -> Iterator[pa.RecordBatch]:
        in_cuts = np.zeros(users.offsets[-1], np.int32)
        for number, cut in enumerate(cuts):
            in_cuts[users.recent(cut)] |= 1 << number
        seen = np.flatnonzero(in_cuts)
        columns = {
            "user_idx": users.user_idx[users.users()[seen]],
            **{name: users.of[name][seen] for name in names},
            "in_cuts": in_cuts[seen],
        }
        yield pa.RecordBatch.from_pydict(columns)

    names = ("item_idx", "event_at", "weight")
    schema = "user_idx int, item_idx int, event_at long, weight double, in_cuts int"
    return read_off(timelines, names, make, schema)


def _floor_div(number: Column, by: int) -> Column:
    return F.floor(number / by)
