from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession

from recsys_spark import tables
from recsys_spark.evaluation import splits
from recsys_spark.transforms import events, histories
from tests.timelines import D, timelines_of


def second(n: float) -> dt.datetime:
    return dt.datetime(2024, 5, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=n)


def frame(
    spark: SparkSession, rows: Sequence[tuple[int, int, dt.datetime, int]], history_days: int = 3650
) -> DataFrame:
    """Rows of user, item, instant and order hash; type 2, weight 0.5, value the item number, null if odd."""
    full = [(u, i, at, 2, None if i % 2 else float(i), 0.5, "s", h) for u, i, at, h in rows]
    return timelines_of(spark, full, history_days=history_days)


def night(histories_of: DataFrame, length: int) -> DataFrame:
    return histories.histories(histories_of, ["night"], length).rows()


def test_the_last_events_oldest_first_left_padded(spark: SparkSession) -> None:
    rows = [(7, 4, second(10), 0), (7, 3, second(2.9), 0), (7, 6, second(70), 0)]
    [row] = night(frame(spark, rows), 5).collect()
    assert (row.items, row.types, row.weights) == (
        [0, 0, 3, 4, 6],
        [0, 0, 2, 2, 2],
        [0.0, 0.0, 0.5, 0.5, 0.5],
    )
    assert row.gaps == [0, 0, 0, 7, 60]
    assert math.isnan(row["values"][2]) and row["values"][:2] + row["values"][3:] == [0.0, 0.0, 4.0, 6.0]
    assert (row.num_events, row.cut, row.user_idx) == (3, "night", 7)


def test_a_longer_history_is_cut_to_the_newest_and_its_first_gap_is_zero(spark: SparkSession) -> None:
    [row] = night(frame(spark, [(7, n, second(n), 0) for n in range(2, 9)]), 3).collect()
    assert (row.items, row.gaps, row.num_events) == ([6, 7, 8], [0, 1, 1], 3)


def test_columns_are_those_of_the_table(spark: SparkSession) -> None:
    built = events.dated(night(frame(spark, []), 3), D)
    assert tables.HISTORIES.check(built).collect() == []
    seen = events.dated(histories.seen_items(frame(spark, []), ["night"]).rows(), D)
    assert tables.SEEN_ITEMS.check(seen).collect() == []


def test_ties_follow_the_hash_whatever_the_item_numbers_and_input_order(spark: SparkSession) -> None:
    rows = [(7, 9, second(1), 30), (7, 4, second(1), 10), (7, 6, second(1), 20)]
    for given in (rows, rows[::-1], rows[1:] + rows[:1]):
        [row] = night(frame(spark, given), 2).collect()
        assert row.items == [6, 9]


def test_a_gap_is_at_most_the_largest_int(spark: SparkSession) -> None:
    long_ago = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
    [row] = night(frame(spark, [(7, 2, long_ago, 0), (7, 3, second(0), 0)], 99_999), 2).collect()
    assert row.gaps == [0, 2**31 - 1]


def test_each_cut_ends_with_its_own_newest_event_and_loses_its_own_oldest(spark: SparkSession) -> None:
    """An event exactly history_days old at the end of a cut stays in it."""
    ends = splits.cut_ends(splits.Split(D, "time", 7, 7))
    edge = ends["night"] - dt.timedelta(days=30)
    at = [edge - dt.timedelta(microseconds=1), edge, ends["valid"], ends["test"]]
    rows = [(7, n, when, 1, None, 1.0, "s", 0) for n, when in enumerate(at, 2)]
    placed = timelines_of(spark, [*rows, (8, 2, at[-1], 1, None, 1.0, "s", 0)], history_days=30)
    got = {(r.cut, r.user_idx): r.items for r in histories.histories(placed, tables.CUTS, 3).rows().collect()}
    assert got == {
        ("valid", 7): [0, 2, 3], ("test", 7): [2, 3, 4], ("night", 7): [3, 4, 5], ("night", 8): [0, 0, 2]
    }  # fmt: skip
    seen = {(r.cut, r.user_idx): r.items for r in histories.seen_items(placed, tables.CUTS).rows().collect()}
    assert seen == {
        ("valid", 7): [2, 3], ("test", 7): [2, 3, 4], ("night", 7): [2, 3, 4, 5], ("night", 8): [2]
    }  # fmt: skip


def test_seen_items_are_distinct_and_ascending(spark: SparkSession) -> None:
    rows = [(7, 9, second(1), 0), (7, 2, second(2), 0), (7, 9, second(3), 0), (8, 5, second(1), 0)]
    got = {
        row.user_idx: row.items
        for row in histories.seen_items(frame(spark, rows), ["night"]).rows().collect()
    }
    assert got == {7: [2, 9], 8: [5]}
