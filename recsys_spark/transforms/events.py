"""Numbered events: what every feature, history and example is built from.

Columns: user_idx, segment, item_idx, event_at, type, value, weight, source, order_hash.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys_spark.errors import SettingsError
from recsys_spark.transforms.timelines import CutEnds


class Numbers(NamedTuple):
    """What ids and event types become.

    Attributes:
        users, items: the indexes.
        segments: user_idx and segment of users who are in one.
        event_types: the first one is 1.
        tie_seed: of the hash that orders events of one user at one instant.
    """

    users: DataFrame
    items: DataFrame
    segments: DataFrame
    event_types: Sequence[str]
    tie_seed: int


def numbered(
    interactions: DataFrame,
    numbers: Numbers,
    run_date: dt.date,
    num_partitions: int,
) -> DataFrame:
    """Events before the end of `run_date` with numbers for ids and types, in `num_partitions` by user.

    `segment` is '' for users without one. It is looked up in a hash table of a
    partition's users: the events are parted for it already, and need no sort.
    `order_hash` orders events of one user at one instant: by a hash of the ids, never by item number.
    An id or a type without a number fails the query that meets it.
    """
    event_types = numbers.event_types
    if not event_types:
        raise SettingsError("setting features.event_types: empty; name the event types of the mappings")
    types = F.create_map(*[part for n, name in enumerate(event_types, 1) for part in (F.lit(name), F.lit(n))])
    type_name = F.col("event_type")
    return (
        interactions.where(F.col("event_at") < F.lit(_start_of(run_date + dt.timedelta(days=1))))
        .join(numbers.users.select("user_id", "user_idx"), "user_id", how="left")
        .join(numbers.items.select("item_id", "item_idx"), "item_id", how="left")
        .select(
            _or_fail(F.col("user_idx"), _unnumbered("user", run_date)).alias("user_idx"),
            _or_fail(F.col("item_idx"), _unnumbered("item", run_date)).alias("item_idx"),
            "event_at",
            _or_fail(
                types[type_name],
                F.concat(
                    F.lit("table interactions: event type "),
                    type_name,
                    F.lit(
                        f" is not one of features.event_types ({', '.join(event_types)}); add it at their end"
                    ),
                ),
            ).alias("type"),
            "value",
            "weight",
            "source",
            F.xxhash64("user_id", "item_id", F.lit(numbers.tie_seed)).alias("order_hash"),
        )
        .repartition(num_partitions, "user_idx")
        .join(numbers.segments.hint("shuffle_hash"), "user_idx", how="left")
        .withColumn("segment", F.coalesce("segment", F.lit("")))
    )


def dated(rows: DataFrame, run_date: dt.date) -> DataFrame:
    """Add the run date: the last column of every table."""
    return rows.withColumn("run_date", F.lit(run_date))


def cut_end(ends: CutEnds) -> Column:
    """The end of the row's cut."""
    return F.create_map(*[part for cut, end in ends.items() for part in (F.lit(cut), F.lit(end))])[
        F.col("cut")
    ]


def _start_of(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)


def _unnumbered(kind: str, run_date: dt.date) -> Column:
    return F.lit(
        f"table interactions: an event up to {run_date} has a {kind}_id that {kind}_index lacks; "
        "run build_index for every date that was ingested"
    )


def _or_fail(value: Column, message: Column) -> Column:
    return F.coalesce(value, F.raise_error(message).cast("int"))
