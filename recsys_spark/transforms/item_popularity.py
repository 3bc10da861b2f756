"""How popular each item is: for everybody, and within each segment of users."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark.transforms.timelines import DAY, CutEnds, micros
from recsys_spark.transforms.user_items import user_items
from recsys_spark.transforms.whole_users import Ints, Timelines, read_off

EVERYBODY = ""
_PARTS = 10**9  # a weight's fraction counts in these
_MOST = 1e12
_KEY = ("segment", "item_idx", "in_cuts", "half_life")
_SUMS = ("whole", "parts", "num_events", "num_users")


def item_popularity(timelines: DataFrame, ends: CutEnds, half_life_days: float) -> DataFrame:
    """One row a cut, segment ('' is everybody) and item: num_events, num_users, first_at, popularity, of recent events.

    popularity = sum of weight x 0.5^(age / half_life_days), age = whole days before the cut's last day. The
    weights of one half-life are summed as whole numbers of 10^-9, so that the order of rows changes no bit, and
    the half-lives newest first; a weight above 10^12 counts as that.

    Args:
        timelines: what `timelines.timelines` gives.
        ends: end of each cut to build.
        half_life_days: days after which an event counts half.
    """
    last = max(ends.values())
    bits = [F.col("in_cuts").bitwiseAND(F.lit(1 << number)) != 0 for number in range(len(ends))]
    in_cuts = [F.when(bit, F.lit(cut)) for bit, cut in zip(bits, ends, strict=True)]
    ahead = [part for cut, end in ends.items() for part in (F.lit(cut), F.lit((last - end).days))]
    half_lives = F.col("half_life") - F.create_map(*ahead)[F.col("cut")] / F.lit(float(half_life_days))
    total = F.col("whole") + F.col("parts") / F.lit(float(_PARTS))
    decayed = F.struct("half_life", "in_cuts", (total * F.pow(F.lit(0.5), half_lives)).alias("decayed"))
    newest_first = F.sort_array(F.collect_list(decayed))
    return (
        _summed(timelines, ends, half_life_days)
        .withColumn("segment", F.explode(F.array_distinct(F.array(F.lit(EVERYBODY), F.col("segment")))))
        .groupBy(*_KEY)
        .agg(*[F.sum(name).alias(name) for name in _SUMS], F.min("first_at").alias("first_at"))
        .withColumn("item_idx", F.col("item_idx").cast("int"))
        .withColumn("cut", F.explode(F.array_compact(F.array(*in_cuts))))
        .groupBy("cut", "segment", "item_idx")
        .agg(
            F.sum("num_events").alias("num_events"),
            F.sum("num_users").alias("num_users"),
            F.timestamp_micros(F.min("first_at")).alias("first_at"),
            F.aggregate(newest_first, F.lit(0.0), lambda sum, part: sum + part["decayed"]).alias(
                "popularity"
            ),
        )
    )


def segment_popularity(popular: DataFrame) -> DataFrame:
    """SEGMENT_POPULARITY without its run_date, of what `item_popularity` gives."""
    return popular.where(F.col("popularity") > 0).select("segment", "item_idx", "popularity", "cut")


def _summed(timelines: DataFrame, ends: CutEnds, half_life_days: float) -> DataFrame:
    """Sums by segment, item, half-life and the cuts that see the events, of a batch of users each.

    Bit n of `in_cuts` stands for the n-th cut. A user counts in half-life 0, for the cuts that see any event.
    """
    last = micros(max(ends.values())) // DAY - 1

    def make(users: Timelines) -> Iterator[pa.RecordBatch]:
        in_cuts = np.zeros(users.offsets[-1], np.int32)
        for number, cut in enumerate(ends):
            in_cuts[users.recent(cut)] |= 1 << number
        seen = np.flatnonzero(in_cuts)
        if len(seen) == 0:
            return
        taken = user_items(users, seen)
        first_of_item = np.flatnonzero(np.diff(taken.of_event, prepend=-1))
        half_lives = (last - users.of["event_at"][seen] // DAY) / half_life_days
        half_life = np.floor(half_lives)
        weight = np.minimum(users.of["weight"][seen], _MOST) * 0.5 ** (half_lives - half_life)

        def both(of_events: Ints | int, of_items: Ints | int) -> Ints:
            parts = np.broadcast_to(of_events, len(seen)), np.broadcast_to(of_items, len(taken.user))
            return np.concatenate(parts, dtype=np.int64, casting="unsafe")

        # An item's newest event comes no earlier than the first that a cut sees, so it changes no cut's first_at.
        columns = {
            "segment": users.segment.dictionary_encode().take(
                pa.array(both(users.users()[seen], taken.user))
            ),
            "item_idx": both(users.of["item_idx"][seen], taken.item_idx),
            "in_cuts": both(in_cuts[seen], np.bitwise_or.reduceat(in_cuts[taken.events], first_of_item)),
            "half_life": both(half_life, 0),
            "whole": both(np.floor(weight), 0),
            "parts": both(np.rint(weight % 1 * _PARTS), 0),
            "num_events": both(1, 0),
            "num_users": both(0, 1),
            "first_at": both(users.of["event_at"][seen], users.of["event_at"][taken.newest]),
        }
        grouped = pa.table(columns).group_by(list(_KEY), use_threads=False)
        summed = grouped.aggregate([*[(name, "sum") for name in _SUMS], ("first_at", "min")])
        segment = summed["segment"].cast(pa.string())
        named = summed.set_column(0, "segment", segment).rename_columns([*_KEY, *_SUMS, "first_at"])
        yield from named.to_batches()

    numbers = ", ".join(f"{name} long" for name in (*_KEY[1:], *_SUMS, "first_at"))
    return read_off(timelines, ("item_idx", "event_at", "weight"), make, f"segment string, {numbers}")
