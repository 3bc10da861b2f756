"""Events with places, and by cut."""

from __future__ import annotations

import datetime as dt

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys_spark.transforms import events

EVENT = (
    "user_idx int, item_idx int, event_at timestamp, type int, value double, weight double, source string, "
    "order_hash long, split string"
)
END = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
SEEN_BY = {"valid": ["train"], "night": ["train", "test"]}


def second(n: int) -> dt.datetime:
    return dt.datetime(2024, 5, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=n)


def marked(spark: SparkSession, rows: list[tuple[int, int, dt.datetime, int, str]]) -> DataFrame:
    """Rows of user, item, instant, order hash and split."""
    full = [(u, i, at, 1, None, 1.0, "s", h, split) for u, i, at, h, split in rows]
    return spark.createDataFrame(full, EVENT)


ROWS = [
    (7, 2, second(1), 0, "train"),
    (7, 3, second(2), 0, "test"),
    (7, 4, second(3), 1, "train"),
    (7, 5, second(3), 9, "test"),
    (8, 2, second(9), 0, "test"),
]


@pytest.mark.parametrize("turn", range(3))
def test_places_count_from_the_newest_among_what_the_cut_sees(spark: SparkSession, turn: int) -> None:
    given = marked(spark, ROWS[turn:] + ROWS[:turn]).repartition(3)
    got = events.with_places(given, SEEN_BY).collect()
    assert {(row.user_idx, row.item_idx): (row.place_valid, row.place_night) for row in got} == {
        (7, 5): (None, 1), (7, 4): (1, 2), (7, 3): (None, 3), (7, 2): (2, 4), (8, 2): (None, 1)
    }  # fmt: skip


def test_equal_events_have_places_of_their_own(spark: SparkSession) -> None:
    got = events.with_places(marked(spark, ROWS[:1] * 3), SEEN_BY).collect()
    assert sorted(row.place_night for row in got) == [1, 2, 3]


def test_an_event_comes_once_for_each_cut_that_sees_it(spark: SparkSession) -> None:
    got = events.by_cut(events.with_places(marked(spark, ROWS), SEEN_BY), SEEN_BY)
    assert "split" not in got.columns and not [name for name in got.columns if name.startswith("place_")]
    assert sorted((row.cut, row.user_idx, row.place, row.item_idx) for row in got.collect()) == [
        ("night", 7, 1, 5), ("night", 7, 2, 4), ("night", 7, 3, 3), ("night", 7, 4, 2), ("night", 8, 1, 2),
        ("valid", 7, 1, 4), ("valid", 7, 2, 2),
    ]  # fmt: skip


def test_an_event_exactly_history_days_old_stays(spark: SparkSession) -> None:
    """In the cut that it is so old for; a cut that ended earlier still sees what is older."""
    edge = END - dt.timedelta(days=10)
    rows = [(7, 2, edge, 0, "train"), (7, 3, edge - dt.timedelta(microseconds=1), 0, "train")]
    ends = {"valid": END - dt.timedelta(days=1), "night": END}
    recent = events.only_recent(events.with_places(marked(spark, rows), SEEN_BY), ends, 10)
    got = events.by_cut(recent, SEEN_BY).collect()
    assert sorted((row.cut, row.item_idx) for row in got) == [("night", 2), ("valid", 2), ("valid", 3)]
