"""What readers see of everything that has arrived."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from recsys_spark import tables
from recsys_spark.transforms.arrivals import catalogue, one_a_key, only_current, only_in_force, repeated_keys


def day(number: int) -> dt.date:
    return dt.date(2024, 3, number)


FILES: list[tuple[Any, ...]] = [
    # source, delivery, file, run date, reason it was refused whole
    ("inc", "increment", "a.csv", 1, None),
    ("inc", "increment", "b.csv", 1, None),
    ("inc", "increment", "a.csv", 2, None),
    ("inc", "increment", "a.csv", 3, "file_truncated"),
    ("inc", "increment", "b.csv", 9, None),
    ("full", "full", "x.csv", 1, None),
    ("full", "full", "y.csv", 1, None),
    ("full", "full", "x.csv", 2, None),
    ("full", "full", "x.csv", 3, None),
    ("full", "full", "y.csv", 3, "file_empty"),
]
ROWS: list[tuple[Any, ...]] = [
    # source, key, file, record, run date
    ("inc", "1", "a.csv", 1, 1),
    ("inc", "2", "a.csv", 2, 1),
    ("inc", "3", "b.csv", 1, 1),
    ("inc", "4", "b.csv", 2, 1),
    ("inc", "1", "a.csv", 1, 2),
    ("inc", "4", "a.csv", 5, 2),
    ("inc", "9", "b.csv", 1, 9),
    ("full", "1", "x.csv", 1, 1),
    ("full", "2", "y.csv", 1, 1),
    ("full", "1", "x.csv", 7, 2),
    ("full", "5", "x.csv", 1, 3),
]


def frames(spark: Any, rows: list[tuple[Any, ...]] = ROWS, table: str = "items") -> tuple[Any, Any]:
    items = [
        (key, None, [], None, None, True, None, [], None, file, record, s, day(d))
        for s, key, file, record, d in rows
    ]
    files = [
        (source, table, delivery, file, "0", 1, 1, 1, {}, {why: 1} if why else {}, 0, day(d))
        for source, delivery, file, d, why in FILES
    ]
    return (
        spark.createDataFrame(items, tables.ITEMS.schema).repartition(3),
        spark.createDataFrame(files, tables.SOURCE_FILES.schema),
    )


def seen(spark: Any, number: int, rows: list[tuple[Any, ...]] = ROWS) -> list[tuple[Any, ...]]:
    current = only_current(*frames(spark, rows), day(number), "items")
    return sorted((r.source, r.item_id, r.file_name, r.record, r.run_date.day) for r in current.collect())


def test_the_first_night_sees_all_of_itself_and_nothing_later(spark):
    assert seen(spark, 1) == sorted(row for row in ROWS if row[-1] == 1)


@pytest.mark.parametrize("rows", [ROWS, ROWS[::-1]])
def test_the_newest_delivery_of_each_file_counts_and_the_newest_row_of_a_key(spark, rows):
    assert seen(spark, 2, rows) == [
        ("full", "1", "x.csv", 7, 2),  # y.csv is not in the newest full delivery
        ("inc", "1", "a.csv", 1, 2),
        ("inc", "3", "b.csv", 1, 1),  # b.csv is still its own newest
        ("inc", "4", "a.csv", 5, 2),  # newer than the 4 of b.csv; the 2 of the old a.csv is gone
    ]


@pytest.mark.parametrize("number", [9, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_looking_for_repeated_keys_first_leaves_the_same_rows(spark, number):
    rows, files = frames(spark, [*ROWS, ("other", "1", "a.csv", 1, 2)])
    files = files.union(files.where("source = 'inc'").withColumn("source", F.lit("other")))
    in_force = only_in_force(rows, files, day(number), "items")
    repeated = repeated_keys(in_force, "items", 2)
    hashes = in_force.selectExpr("source", "item_id", "xxhash64(source, item_id) AS hash").join(
        repeated, "hash"
    )
    assert {(r.source, r.item_id) for r in hashes.collect()} == ({("inc", "4")} if number == 2 else set())
    current = one_a_key(in_force, "items", repeated)
    assert current.columns == rows.columns
    assertDataFrameEqual(current, only_current(rows, files, day(number), "items"))


def test_a_file_refused_whole_leaves_the_older_delivery_in_force(spark):
    assert seen(spark, 3) == seen(spark, 2)  # for full, one refused file makes the delivery incomplete


def test_the_result_has_the_columns_of_the_rows(spark):
    rows, files = frames(spark)
    assert only_current(rows, files, day(2), "items").schema == rows.schema


def test_files_of_other_tables_count_for_nothing(spark):
    rows, files = frames(spark, table="users")
    assert only_current(rows, files, day(2), "items").isEmpty()


def test_the_catalogue_has_every_item_once_and_withdraws_what_no_delivery_in_force_holds(spark):
    found = catalogue(*frames(spark), day(2)).collect()
    assert sorted((r.item_id, r.is_available, r.source, r.run_date.day) for r in found) == [
        ("1", True, "full", 2),  # both sources have it tonight: the first by name
        ("2", False, "full", 1),  # gone from both
        ("3", True, "inc", 1),
        ("4", True, "inc", 2),
    ]


def test_an_item_marked_unavailable_by_its_source_stays_so(spark):
    rows, files = frames(spark, [("inc", "3", "b.csv", 1, 1)])
    marked = rows.selectExpr("* except (is_available)", "false AS is_available").select(*rows.columns)
    assert [r.is_available for r in catalogue(marked, files, day(1)).collect()] == [False]


def test_nothing_delivered_is_an_empty_catalogue(spark):
    assert catalogue(*frames(spark, []), day(1)).isEmpty()
