from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys_spark.errors import SettingsError
from recsys_spark.evaluation import splits
from recsys_spark.evaluation.splits import Split
from tests.timelines import D, timelines_of


def may(day: int, hour: int = 0, second: int = 0) -> dt.datetime:
    return dt.datetime(2024, 5, day, hour, 0, second, tzinfo=dt.UTC)


def frame(
    spark: SparkSession, rows: Sequence[tuple[int, int, dt.datetime, int]], kind: str = "time"
) -> DataFrame:
    """Rows of user, item, instant and order hash."""
    return timelines_of(spark, [(u, i, at, 1, None, 1.0, "s", h) for u, i, at, h in rows], kind)


def split_of(timelines: DataFrame) -> dict[tuple[int, int], str]:
    found = {}
    for row in timelines.collect():
        valid, test, night = row.seen_from
        assert night == 0
        for place, item in enumerate(row.item_idx):
            found[row.user_idx, item] = "test" if place < test else "valid" if place < valid else "train"
    return found


def rows_of(truth: DataFrame) -> dict[tuple[str, int], list[int]]:
    return {(row.cut, row.user_idx): row.items for row in truth.collect()}


def test_time_windows_begin_at_midnight_inclusive(spark: SparkSession) -> None:
    before = dt.timedelta(microseconds=1)
    given = frame(
        spark,
        [(1, 2, may(18) - before, 0), (1, 3, may(18), 0), (1, 4, may(25) - before, 0), (1, 5, may(25), 0),
         (1, 6, may(31, 23), 0)],
    )  # fmt: skip
    got = split_of(given)
    assert got == {(1, 2): "train", (1, 3): "valid", (1, 4): "valid", (1, 5): "test", (1, 6): "test"}


def test_time_split_keeps_a_user_and_instant_together(spark: SparkSession) -> None:
    given = frame(spark, [(1, n, may(25), n) for n in range(2, 9)])
    assert set(split_of(given).values()) == {"test"}


def test_leave_last_out_takes_the_last_two_events(spark: SparkSession) -> None:
    given = frame(
        spark, [(1, 3, may(3), 0), (1, 2, may(2), 0), (1, 5, may(5), 0), (1, 4, may(4), 0)], "leave_last_out"
    )
    got = split_of(given)
    assert got == {(1, 2): "train", (1, 3): "train", (1, 4): "valid", (1, 5): "test"}


@pytest.mark.parametrize("num", [1, 2])
def test_leave_last_out_leaves_users_with_fewer_than_three_events_in_train(
    spark: SparkSession, num: int
) -> None:
    given = frame(spark, [(1, 2 + n, may(1 + n), 0) for n in range(num)], "leave_last_out")
    assert set(split_of(given).values()) == {"train"}


def test_leave_last_out_divides_an_instant_by_the_hash_not_by_item_number(spark: SparkSession) -> None:
    given = frame(spark, [(1, 9, may(3), 10), (1, 4, may(3), 30), (1, 7, may(3), 20)], "leave_last_out")
    got = split_of(given)
    assert got == {(1, 4): "test", (1, 7): "valid", (1, 9): "train"}


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"split\.kind"):
        splits.cut_ends(Split(D, "random", 7, 7))


def test_cuts_end_where_their_windows_begin() -> None:
    assert splits.cut_ends(Split(D, "time", 7, 7)) == {
        "valid": may(18), "test": may(25), "night": dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
    }  # fmt: skip


def asked(spark: SparkSession) -> DataFrame:
    given = [
        (1, 2, may(1), 0),  # train
        (1, 3, may(19), 5), (1, 2, may(20), 0), (1, 4, may(19), 1), (1, 3, may(21), 0),  # valid
        (1, 5, may(30), 0), (1, 3, may(29), 0),  # test
        (2, 2, may(30), 0),  # no event before: cold
        (3, 2, may(1), 0), (3, 2, may(30), 0),  # only repeats
        (4, 2, may(20), 0), (4, 3, may(30), 0),  # warm for test only
    ]  # fmt: skip
    return frame(spark, given)


def test_truth_holds_new_items_of_warm_users_by_first_event(spark: SparkSession) -> None:
    got = rows_of(splits.truth(asked(spark), repeats_allowed=False).rows())
    assert got == {("valid", 1): [4, 3], ("test", 1): [5], ("test", 4): [3]}


def test_truth_holds_repeats_where_they_are_allowed(spark: SparkSession) -> None:
    got = rows_of(splits.truth(asked(spark), repeats_allowed=True).rows())
    assert got == {("valid", 1): [4, 3, 2], ("test", 1): [3, 5], ("test", 3): [2], ("test", 4): [3]}


def test_no_events_give_no_truth(spark: SparkSession) -> None:
    assert rows_of(splits.truth(frame(spark, []), False).rows()) == {}
