"""Users read off whole, however their events are cut into pieces and batches."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys_spark import tables
from recsys_spark.session import spark_settings
from recsys_spark.transforms import examples, histories, timelines, whole_users
from tests.timelines import D, timelines_of

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def event(user: int, item: int, second: int, order_hash: int = 0) -> tuple[Any, ...]:
    return (user, item, START + dt.timedelta(seconds=second), 1, None, 1.0, "s", order_hash)


def items_by_user(frame: DataFrame) -> dict[int, list[list[int]]]:
    """The items of each call that got the user."""

    def make(users: whole_users.Timelines) -> Iterator[pa.RecordBatch]:
        assert users.offsets[-1] == len(users.of["item_idx"])
        of_user = np.split(users.of["item_idx"], users.offsets[1:-1])
        lists = [
            pa.array(users.user_idx),
            pa.array([items.tolist() for items in of_user], pa.list_(pa.int32())),
        ]
        yield pa.RecordBatch.from_arrays(lists, names=["user_idx", "items"])

    rows = whole_users.read_off(frame, ["item_idx"], make, "user_idx int, items array<int>").collect()
    found: dict[int, list[list[int]]] = {}
    for row in rows:
        found.setdefault(row.user_idx, []).append(row.items)
    return found


@pytest.mark.parametrize("turn", range(3))
def test_events_are_newest_first_and_ties_follow_the_hash(spark: SparkSession, turn: int) -> None:
    rows = [
        event(7, 2, 1),
        event(7, 4, 3, 1),
        event(7, 5, 3, 9),
        event(7, 3, 2),
        event(8, 2, 9),
        event(7, 3, 2),
    ]
    got = items_by_user(timelines_of(spark, rows[turn:] + rows[:turn]))
    assert got == {7: [[5, 4, 3, 3, 2]], 8: [[2]]}


@pytest.mark.parametrize(("rows_in", "rows_out"), [(1, 1), (3, 2), (5, 1), (1000, 7)])
def test_a_user_comes_whole_whatever_the_pieces_and_batches(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, rows_in: int, rows_out: int
) -> None:
    """Pieces of three events, so that users have one to five of them."""
    rows = [event(user, 2 + n, n) for user in range(1, 30) for n in range(user % 14 + 1)]
    random.Random(rows_in).shuffle(rows)
    monkeypatch.setattr(timelines, "_PIECE", 3)
    size = "spark.sql.execution.arrow.maxRecordsPerBatch"
    with spark_settings(spark, {size: rows_in}):
        made = timelines_of(spark, rows).localCheckpoint()
    pieces = Counter(row.user_idx for row in made.select("user_idx").collect())
    assert pieces == {user: -(-(user % 14 + 1) // 3) for user in range(1, 30)}
    with spark_settings(spark, {size: rows_out}):
        assert items_by_user(made) == {user: [list(range(2 + user % 14, 1, -1))] for user in range(1, 30)}


@pytest.mark.slow
def test_what_is_built_does_not_depend_on_pieces_and_batches(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(3)
    last = (D - START.date()).days * 86_400
    rows = [event(draw.randrange(6), draw.randrange(2, 40), draw.randrange(last), n) for n in range(400)]

    def built() -> list[Counter[str]]:
        made = timelines_of(spark, rows, history_days=90)
        frames = (
            histories.histories(made, tables.CUTS, 4),
            histories.seen_items(made, tables.CUTS),
            examples.event_examples(made, tables.CUTS, None),
            examples.user_examples(made, tables.CUTS, None, 5),
            examples.sequence_examples(made, tables.CUTS, 3),
        )
        return [Counter(map(str, frame.rows().collect())) for frame in frames]

    whole = built()
    monkeypatch.setattr(timelines, "_PIECE", 7)
    monkeypatch.setattr(examples, "_WINDOWS", 2)
    with spark_settings(spark, {"spark.sql.execution.arrow.maxRecordsPerBatch": 3}):
        assert built() == whole
