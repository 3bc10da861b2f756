from __future__ import annotations

import datetime as dt

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from recsys_spark import tables
from recsys_spark.transforms import index

D = dt.date(2024, 5, 3)
EVENT = "user_id string, item_id string, event_at timestamp"
NOTHING_KNOWN = tables.USER_INDEX.schema


def at(day: int, hour: int = 0) -> dt.datetime:
    return dt.datetime(2024, 5, day, hour)


def numbers(frame: DataFrame, kind: str = "user") -> dict[str, int]:
    return {row[f"{kind}_id"]: row[f"{kind}_idx"] for row in frame.collect()}


@pytest.fixture(scope="module")
def first_night(spark: SparkSession) -> list[Row]:
    events = [
        ("late", "i", at(3)), ("b", "i", at(1, 9)), ("a", "i", at(1, 10)), ("b", "i", at(2)),
        ("é, 🙂", "i", at(2, 1)), ("007", "i", at(2, 5)),
    ]  # fmt: skip
    users = spark.createDataFrame([("a",), ("only listed",), ("also listed",)], "user_id string")
    arrived = index.ids_in([spark.createDataFrame(events, EVENT), users], "user")
    known = spark.createDataFrame([], NOTHING_KNOWN)
    return index.new_ids(arrived, known, lambda: 0, "user", D).collect()


def test_ids_are_numbered_by_first_event_day_then_id_and_those_without_events_last(
    first_night: list[Row],
) -> None:
    got = {row.user_id: row.user_idx for row in first_night}
    assert got == {"a": 2, "b": 3, "007": 4, "é, 🙂": 5, "late": 6, "also listed": 7, "only listed": 8}


def test_first_seen_is_the_first_event(first_night: list[Row]) -> None:
    seen = {row.user_id: row.first_seen_at for row in first_night}
    assert (seen["b"], seen["only listed"]) == (at(1, 9), None)


def test_known_ids_keep_their_numbers_and_new_ones_follow(spark: SparkSession) -> None:
    known = spark.createDataFrame([("z", 2, at(1), D), ("y", 3, None, D)], NOTHING_KNOWN)
    arrived = index.ids_in([spark.createDataFrame([("z", "i", at(1)), ("x", "i", at(1))], EVENT)], "user")
    assert numbers(index.new_ids(arrived, known, lambda: 2, "user", D)) == {"x": 4}


def test_running_again_gives_no_rows(spark: SparkSession, first_night: list[Row]) -> None:
    known = spark.createDataFrame(first_night, NOTHING_KNOWN)
    arrived = known.select("user_id", "first_seen_at")
    assert index.new_ids(arrived, known, lambda: len(first_night), "user", D).collect() == []


def test_ids_of_one_day_are_sorted_whatever_the_partitioning(spark: SparkSession) -> None:
    known = spark.createDataFrame([], NOTHING_KNOWN)
    events = spark.createDataFrame(
        [(f"u{n:02}", "i", at(1)) for n in reversed(range(40))], EVENT
    ).repartition(7)
    got = numbers(index.new_ids(index.ids_in([events], "user"), known, lambda: 0, "user", D))
    assert got == {f"u{n:02}": n + 2 for n in range(40)}


def test_an_id_numbered_by_a_later_night_is_known_only_if_it_is_there_tonight(spark: SparkSession) -> None:
    later = D + dt.timedelta(1)
    rows = [
        ("now", 2, None, D),
        ("event", 3, None, later),
        ("listed", 4, None, later),
        ("later", 5, None, later),
    ]
    whole = spark.createDataFrame(rows, NOTHING_KNOWN)
    events = spark.createDataFrame([(3,), (2,), (3,)], "user_idx int")
    listed = spark.createDataFrame([("now",), ("listed",)], "user_id string")
    assert numbers(index.known_at(whole, "user", D, events, listed)) == {"now": 2, "event": 3, "listed": 4}
