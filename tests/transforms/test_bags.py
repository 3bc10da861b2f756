from __future__ import annotations

import datetime as dt

from pyspark.sql import SparkSession

from recsys_spark import tables
from recsys_spark.transforms import events
from recsys_spark.transforms.bags import bags
from tests.timelines import D, timelines_of


def may(day: int) -> dt.datetime:
    return dt.datetime(2024, 5, day, tzinfo=dt.UTC)


def test_a_bag_has_each_item_that_its_cut_sees_once_with_its_weights_summed(spark: SparkSession) -> None:
    rows = [
        (7, 9, may(2), 0.5), (7, 3, may(3), 1.0), (7, 9, may(19), 2.0), (7, 3, may(30), 4.0),
        (8, 5, may(30), 1.0),
    ]  # fmt: skip
    full = [(u, i, at, 1, None, w, "s", n) for n, (u, i, at, w) in enumerate(rows)]
    built = bags(timelines_of(spark, full), tables.CUTS).rows().collect()
    assert {(row.cut, row.user_idx): (row["items"], row.weights) for row in built} == {
        ("valid", 7): ([3, 9], [1.0, 0.5]), ("test", 7): ([3, 9], [1.0, 2.5]),
        ("night", 7): ([3, 9], [5.0, 2.5]), ("night", 8): ([5], [1.0]),
    }  # fmt: skip


def test_a_bag_holds_events_older_than_histories(spark: SparkSession) -> None:
    rows = [(7, n, may(n), 1, None, 1.0, "s", n) for n in (2, 20)]
    [row] = bags(timelines_of(spark, rows, history_days=13), ["night"]).rows().collect()
    assert row["items"] == [2, 20]


def test_the_order_of_rows_changes_no_bit_of_a_weight(spark: SparkSession) -> None:
    rows = [
        (7, 2, may(1 + n), 1, None, weight, "s", n) for n, weight in enumerate((0.1, 1e8, 0.7, 3e-5, -1e8))
    ]
    got = [
        row.weights for turn in (rows, rows[::-1], rows[2:] + rows[:2])
        for row in bags(timelines_of(spark, turn), ["night"]).rows().collect()
    ]  # fmt: skip
    assert got[0] == got[1] == got[2]


def test_columns_are_those_of_the_table(spark: SparkSession) -> None:
    built = events.dated(bags(timelines_of(spark, []), ["night"]).rows(), D)
    assert tables.BAGS.check(built).collect() == []
