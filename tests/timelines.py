"""Timelines of literal events."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from recsys_spark.evaluation.splits import Split, cut_ends
from recsys_spark.transforms.timelines import SeenFrom, timelines

NUMBERED = (
    "user_idx int, item_idx int, event_at timestamp, type int, value double, weight double, source string, "
    "order_hash long, segment string"
)
D = dt.date(2024, 5, 31)


def of_split(kind: str, valid_days: int = 7, test_days: int = 7) -> SeenFrom:
    return Split(D, kind, valid_days, test_days).seen_from


def timelines_of(
    spark: SparkSession,
    rows: Sequence[tuple[Any, ...]],
    kind: str = "time",
    *,
    split: SeenFrom | None = None,
    ends: Mapping[str, dt.datetime] | None = None,
    history_days: int = 3650,
    active_days: Mapping[str, Any] | None = None,
    segments: Mapping[int, str] | None = None,
) -> DataFrame:
    """Of rows of NUMBERED without their segment, in partitions by user, up to the end of D."""
    of_users = [(*row, (segments or {}).get(row[0], "")) for row in rows]
    numbered = spark.createDataFrame(of_users, NUMBERED).repartition(3, "user_idx")
    return timelines(
        numbered,
        split or of_split(kind),
        ends or cut_ends(Split(D, kind, 7, 7)),
        history_days,
        active_days or {"": 30},
    )
