from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession

from recsys_spark import tables
from recsys_spark.transforms import events, histories

EVENT = (
    "user_idx int, item_idx int, event_at timestamp, type int, value double, weight double, source string, "
    "order_hash long, split string"
)
END = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)


def second(n: float) -> dt.datetime:
    return dt.datetime(2024, 5, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=n)


def frame(
    spark: SparkSession, rows: Sequence[tuple[int, int, dt.datetime, int]], cut: str = "night"
) -> DataFrame:
    """Rows of user, item, instant and order hash; type 2, weight 0.5, value the item number, null if odd."""
    full = [(u, i, at, 2, None if i % 2 else float(i), 0.5, "s", h, "train") for u, i, at, h in rows]
    placed = events.with_places(spark.createDataFrame(full, EVENT).repartition(3), {cut: ["train"]})
    return events.by_cut(placed, [cut])


def test_the_last_events_oldest_first_left_padded(spark: SparkSession) -> None:
    rows = [(7, 4, second(10), 0), (7, 3, second(2.9), 0), (7, 6, second(70), 0)]
    [row] = histories.histories(frame(spark, rows), 5).collect()
    assert (row.items, row.types, row.weights) == (
        [0, 0, 3, 4, 6],
        [0, 0, 2, 2, 2],
        [0.0, 0.0, 0.5, 0.5, 0.5],
    )
    assert row.gaps == [0, 0, 0, 7, 60]
    assert math.isnan(row["values"][2]) and row["values"][:2] + row["values"][3:] == [0.0, 0.0, 4.0, 6.0]
    assert (row.num_events, row.cut, row.user_idx) == (3, "night", 7)


def test_a_longer_history_is_cut_to_the_newest_and_its_first_gap_is_zero(spark: SparkSession) -> None:
    [row] = histories.histories(frame(spark, [(7, n, second(n), 0) for n in range(2, 9)]), 3).collect()
    assert (row.items, row.gaps, row.num_events) == ([6, 7, 8], [0, 1, 1], 3)


def test_columns_are_those_of_the_table(spark: SparkSession) -> None:
    built = events.dated(histories.histories(frame(spark, []), 3), END.date())
    assert tables.HISTORIES.check(built).collect() == []
    seen = events.dated(histories.seen_items(frame(spark, [])), END.date())
    assert tables.SEEN_ITEMS.check(seen).collect() == []


def test_ties_follow_the_hash_whatever_the_item_numbers_and_input_order(spark: SparkSession) -> None:
    rows = [(7, 9, second(1), 30), (7, 4, second(1), 10), (7, 6, second(1), 20)]
    for given in (rows, rows[::-1], rows[1:] + rows[:1]):
        [row] = histories.histories(frame(spark, given), 2).collect()
        assert row.items == [6, 9]


def test_a_gap_is_at_most_the_largest_int(spark: SparkSession) -> None:
    long_ago = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
    [row] = histories.histories(frame(spark, [(7, 2, long_ago, 0), (7, 3, second(0), 0)]), 2).collect()
    assert row.gaps == [0, 2**31 - 1]


def test_cuts_are_built_apart(spark: SparkSession) -> None:
    both = frame(spark, [(7, 2, second(1), 0)], "test").union(
        frame(spark, [(7, 2, second(1), 0), (7, 3, second(2), 0)])
    )
    got = {row.cut: row.items for row in histories.histories(both, 2).collect()}
    assert got == {"test": [0, 2], "night": [2, 3]}


def test_seen_items_are_distinct_and_ascending(spark: SparkSession) -> None:
    rows = [(7, 9, second(1), 0), (7, 2, second(2), 0), (7, 9, second(3), 0), (8, 5, second(1), 0)]
    got = {row.user_idx: row.items for row in histories.seen_items(frame(spark, rows)).collect()}
    assert got == {7: [2, 9], 8: [5]}


ROW = "user_id string, row_key string, file_name string, source string, run_date date"
FILE = "source string, `table` string, delivery string, file_name string, run_date date"
YESTERDAY, TODAY = dt.date(2024, 5, 2), dt.date(2024, 5, 3)


def touched(
    spark: SparkSession, new_rows: list[tuple[str, ...]], new_files: list[tuple[str, ...]]
) -> set[str]:
    old = [("a", "k1", "f1", "s", YESTERDAY), ("b", "k2", "f2", "s", YESTERDAY), ("c", "k1", "f1", "t", YESTERDAY),
           ("d", "k2", "f0", "s", YESTERDAY)]  # fmt: skip
    files = [("s", "interactions", "increment", f, YESTERDAY) for f in ("f1", "f2")]
    rows = spark.createDataFrame([*old, *[(*row, TODAY) for row in new_rows]], ROW)
    listed = spark.createDataFrame([*files, *[(*file, TODAY) for file in new_files]], FILE)
    return {row.user_id for row in histories.touched_users(rows, listed, YESTERDAY).collect()}


def test_nothing_arrived_nobody_is_touched(spark: SparkSession) -> None:
    assert touched(spark, [], [("s", "items", "full", "f1")]) == set()


def test_an_arrival_touches_its_user(spark: SparkSession) -> None:
    assert touched(spark, [("n", "k9", "f9", "s")], [("s", "interactions", "increment", "f9")]) == {"n"}


def test_a_row_key_that_comes_again_touches_whom_it_belonged_to(spark: SparkSession) -> None:
    assert touched(spark, [("n", "k1", "f9", "s")], [("s", "interactions", "increment", "f9")]) == {"n", "a"}


def test_a_file_delivered_again_touches_those_in_the_old_one_and_those_it_had_replaced(
    spark: SparkSession,
) -> None:
    assert touched(spark, [], [("s", "interactions", "increment", "f2")]) == {"b", "d"}


def test_a_full_delivery_touches_everybody_of_its_source(spark: SparkSession) -> None:
    assert touched(spark, [], [("s", "interactions", "full", "f9")]) == {"a", "b", "d"}
