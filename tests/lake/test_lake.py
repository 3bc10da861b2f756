"""The lake through its public way in: tables by date, one commit a change."""

from __future__ import annotations

import datetime as dt
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import nights
import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from recsys_spark import tables
from recsys_spark.errors import BadDataError, LakeError, MissingInputError, SettingsError
from recsys_spark.lake import Lake
from recsys_spark.python_tasks import FromPython

MONDAY, TUESDAY, WEDNESDAY = dt.date(2024, 1, 1), dt.date(2024, 1, 2), dt.date(2024, 1, 3)


def seen(spark: SparkSession, rows: list[tuple[int, list[int], str]], day: dt.date) -> DataFrame:
    return spark.createDataFrame([(*row, day) for row in rows], tables.SEEN_ITEMS.schema)


def numbered(spark: SparkSession, rows: list[tuple[str, int]], day: dt.date) -> DataFrame:
    return spark.createDataFrame([(i, n, None, day) for i, n in rows], tables.ITEM_INDEX.schema)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def test_a_date_is_replaced_whole_and_others_stay(spark: SparkSession, lake: Lake) -> None:
    lake.write(spark, tables.SEEN_ITEMS, MONDAY, seen(spark, [(2, [2], "test"), (3, [4], "night")], MONDAY))
    lake.write(spark, tables.SEEN_ITEMS, TUESDAY, seen(spark, [(2, [2, 3], "night")], TUESDAY))
    lake.write(spark, tables.SEEN_ITEMS, MONDAY, seen(spark, [(9, [9], "night")], MONDAY))
    assertDataFrameEqual(
        lake.read(spark, tables.SEEN_ITEMS),
        seen(spark, [(9, [9], "night")], MONDAY).union(seen(spark, [(2, [2, 3], "night")], TUESDAY)),
    )
    assert lake.dates(tables.SEEN_ITEMS) == [MONDAY, TUESDAY]
    assert lake.dates(tables.SEEN_ITEMS, until=MONDAY) == [MONDAY]
    assert lake.read(spark, tables.SEEN_ITEMS, until=MONDAY).count() == 1
    assert lake.num_rows(tables.SEEN_ITEMS) == 2


def test_a_cut_is_read_alone(spark: SparkSession, lake: Lake) -> None:
    lake.write(spark, tables.SEEN_ITEMS, MONDAY, seen(spark, [(2, [2], "test"), (3, [4], "night")], MONDAY))
    assert [row.user_idx for row in lake.read(spark, tables.SEEN_ITEMS, MONDAY, cut="night").collect()] == [3]
    files = lake.files(tables.SEEN_ITEMS, MONDAY, cut="night")
    assert [file.row_group_rows for file in files] == [(1,)]
    assert lake.read_rows(tables.SEEN_ITEMS, MONDAY, cut="test").to_pylist() == [
        {"user_idx": 2, "items": [2], "cut": "test", "run_date": MONDAY}
    ]


def test_zero_rows_leave_the_date_there(spark: SparkSession, lake: Lake) -> None:
    lake.write(spark, tables.SEEN_ITEMS, MONDAY, seen(spark, [], MONDAY))
    assert lake.exists(tables.SEEN_ITEMS, MONDAY)
    assert lake.read(spark, tables.SEEN_ITEMS, MONDAY).count() == 0
    assert lake.files(tables.SEEN_ITEMS, MONDAY, cut="night")[0].num_rows == 0


def test_row_groups_have_the_stated_size(spark: SparkSession, lake: Lake) -> None:
    rows = seen(spark, [(n, [n], "night") for n in range(10)], MONDAY).coalesce(1)
    lake.write(spark, tables.SEEN_ITEMS, MONDAY, rows, row_group_rows=4)
    assert [file.row_group_rows for file in lake.files(tables.SEEN_ITEMS, MONDAY)] == [(4, 4, 2)]


def test_a_frame_that_breaks_the_contract_is_refused_with_every_fault(
    spark: SparkSession, lake: Lake
) -> None:
    frame = seen(spark, [], MONDAY).drop("items").withColumn("user_idx", F.lit("2"))
    with pytest.raises(
        BadDataError, match=r"table seen_items: items: missing; user_idx: expected int, got string"
    ):
        lake.write(spark, tables.SEEN_ITEMS, MONDAY, frame)


def test_a_row_of_another_run_date_is_refused(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(Exception, match="another run_date than 2024-01-01: 2024-01-02"):
        lake.write(spark, tables.SEEN_ITEMS, MONDAY, seen(spark, [(2, [2], "night")], TUESDAY))


SEEN = (
    "cast(id AS int) AS user_idx", "array_repeat(cast(id AS int), 100) AS items", "'night' AS cut",
    f"date '{MONDAY}' AS run_date",
)  # fmt: skip


def as_made(frame: DataFrame) -> FromPython:
    """Rows that pass through Python as they are."""
    return FromPython(frame.select(*tables.SEEN_ITEMS.schema.names), iter, tables.SEEN_ITEMS.schema)


def test_workers_write_what_spark_writes(spark: SparkSession, lake: Lake) -> None:
    first = seen(spark, [(2, [2], "test"), (3, [4], "night"), (4, [], "night"), (5, [], "test")], MONDAY)
    second = seen(spark, [(9, [1, 2, 3], "night")], MONDAY)
    lake.write(spark, tables.SEEN_ITEMS, MONDAY, first)
    lake.write_from_python(tables.SEEN_ITEMS, MONDAY, [as_made(first.coalesce(1)), as_made(second)])
    assertDataFrameEqual(lake.read(spark, tables.SEEN_ITEMS), first.union(second))
    assert lake.num_rows(tables.SEEN_ITEMS, MONDAY, cut="night") == 3
    assert len(lake.files(tables.SEEN_ITEMS, MONDAY)) == 3  # a task, and a folder it has rows of, is a file
    assert not list(Path(lake._store.path).rglob("attempt-*"))


def test_no_rows_from_workers_leave_the_date_there(spark: SparkSession, lake: Lake) -> None:
    lake.write_from_python(tables.SEEN_ITEMS, MONDAY, [as_made(seen(spark, [], MONDAY))])
    assert lake.exists(tables.SEEN_ITEMS, MONDAY)
    assert len(lake.files(tables.SEEN_ITEMS, MONDAY)) == 1
    assert lake.read(spark, tables.SEEN_ITEMS, MONDAY, cut="night").count() == 0


def test_workers_write_row_groups_in_order(spark: SparkSession, lake: Lake) -> None:
    rows = spark.range(0, 60_000, 1, 1).selectExpr(*SEEN)
    lake.write_from_python(tables.SEEN_ITEMS, MONDAY, [as_made(rows)])
    [file] = lake.files(tables.SEEN_ITEMS, MONDAY)
    assert len(file.row_group_rows) > 1
    assert file.num_rows == 60_000
    read = lake.read_rows(tables.SEEN_ITEMS, MONDAY)["user_idx"].to_numpy()
    assert (read == np.arange(60_000)).all()


@pytest.mark.slow
def test_a_task_that_is_tried_again_leaves_one_file(lake: Lake, tmp_path: Path) -> None:
    """A local master with retries, in a process of its own: the session of the tests has none."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("tried_again.py")), str(tmp_path / "lake"), nights.SHORT_JOBS],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert lake.read_rows(tables.SEEN_ITEMS, MONDAY)["user_idx"].to_pylist() == [0, 1, 2, 3]
    assert len(list((tmp_path / "lake").rglob("*.parquet"))) == 1


@pytest.mark.parametrize("fault", ["contract", "date", "work", "full"])
def test_a_fault_in_what_workers_write_leaves_the_date_as_it_was(
    spark: SparkSession, lake: Lake, fault: str
) -> None:
    def in_no_room(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Rows as they are, while this process may write no file beyond 64 KiB."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
        try:
            yield from batches
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    before = seen(spark, [(2, [2], "night")], MONDAY)
    lake.write(spark, tables.SEEN_ITEMS, MONDAY, before)
    tuesday = seen(spark, [(3, [3], "night")], TUESDAY)
    faulty = {
        "contract": (FromPython(before, iter, before.drop("items").schema), "table seen_items: items: missing"),
        "date": (as_made(tuesday), "another run_date than 2024-01-01: 2024-01-02"),
        "full": (
            FromPython(spark.range(0, 60_000, 1, 1).selectExpr(*SEEN), in_no_room, tables.SEEN_ITEMS.schema),
            "part-00000-.*: a Python worker cannot write here: .*File too large; workers write",
        ),
        "work": (FromPython(before, lambda _: iter([1 / 0]), tables.SEEN_ITEMS.schema), "ZeroDivisionError"),
    }  # fmt: skip
    made, message = faulty[fault]
    with pytest.raises(Exception, match=message):
        lake.write_from_python(tables.SEEN_ITEMS, MONDAY, [made])
    assertDataFrameEqual(lake.read(spark, tables.SEEN_ITEMS), before)


def test_a_date_that_no_run_wrote_is_named(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(
        MissingInputError, match="seen_items .* nothing for run date 2024-01-01; the lake has none"
    ):
        lake.read(spark, tables.SEEN_ITEMS, MONDAY)
    assert lake.read(spark, tables.SEEN_ITEMS, until=MONDAY).count() == 0
    lake.write(spark, tables.SEEN_ITEMS, TUESDAY, seen(spark, [(2, [2], "night")], TUESDAY))
    with pytest.raises(MissingInputError, match="the lake has 2024-01-02"):
        lake.read(spark, tables.SEEN_ITEMS, MONDAY)


def test_append_decides_again_when_another_run_was_first(
    spark: SparkSession, lake: Lake, tmp_path: Path
) -> None:
    other = Lake(str(tmp_path / "lake"))
    calls = []

    def decide(known: DataFrame) -> DataFrame:
        n = known.count()
        calls.append(n)
        if len(calls) == 1:  # while this run decides, another appends
            other.append(spark, tables.ITEM_INDEX, MONDAY, lambda _: numbered(spark, [("a", 2)], MONDAY))
        return numbered(spark, [("b", 2 + n)], MONDAY)

    lake.append(spark, tables.ITEM_INDEX, MONDAY, decide)
    assert calls == [0, 1]
    rows = lake.read(spark, tables.ITEM_INDEX).select("item_id", "item_idx").collect()
    assert sorted(map(tuple, rows)) == [("a", 2), ("b", 3)]


def test_appending_nothing_makes_no_commit(spark: SparkSession, lake: Lake) -> None:
    lake.append(spark, tables.ITEM_INDEX, MONDAY, lambda _: numbered(spark, [("a", 2)], MONDAY))
    before = dict(lake.versions_written)
    lake.append(spark, tables.ITEM_INDEX, MONDAY, lambda known: known.limit(0))
    assert lake.versions_written == before


def test_many_appends_are_rewritten_as_few_files(spark: SparkSession, lake: Lake) -> None:
    for n in range(9):
        lake.append(spark, tables.ITEM_INDEX, MONDAY, lambda _, n=n: numbered(spark, [(f"i{n}", n)], MONDAY))
    now = lake._snapshot(tables.ITEM_INDEX)
    assert now is not None and len(now.files) < 8
    assert sorted(row.item_idx for row in lake.read(spark, tables.ITEM_INDEX).collect()) == list(range(9))


def test_rollback_drops_newer_dates(spark: SparkSession, lake: Lake) -> None:
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        lake.write(spark, tables.SEEN_ITEMS, day, seen(spark, [(2, [2], "night")], day))
    assert lake.rollback(tables.SEEN_ITEMS, MONDAY) == [TUESDAY, WEDNESDAY]
    assert lake.dates(tables.SEEN_ITEMS) == [MONDAY]


def test_vacuum_removes_what_no_commit_names(spark: SparkSession, lake: Lake, tmp_path: Path) -> None:
    lake.write(spark, tables.SEEN_ITEMS, MONDAY, seen(spark, [(2, [2], "night")], MONDAY))
    kept = lake.files(tables.SEEN_ITEMS, MONDAY)[0].uri
    orphan = tmp_path / "lake/seen_items/attempt-dead/run_date=2024-01-01/part-0.parquet"
    orphan.parent.mkdir(parents=True)
    shutil.copyfile(kept.removeprefix("file://"), orphan)
    lake.vacuum(tables.SEEN_ITEMS, 0)
    assert not orphan.exists()
    assert lake.read(spark, tables.SEEN_ITEMS, MONDAY).count() == 1


def test_rows_without_spark_equal_rows_with_it(spark: SparkSession, lake: Lake) -> None:
    row = {
        "name": "m",
        "role": "twin",
        "data_end": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        "version": "v",
        "files": [("a", "b")],
        "manifest": "{}",
        "run_date": MONDAY,
    }
    lake.write_rows(tables.MODELS, MONDAY, [row])
    lake.write_rows(tables.MODELS, MONDAY, [row])
    assert lake.read(spark, tables.MODELS, MONDAY).collect()[0].files == {"a": "b"}
    assert lake.read_rows(tables.MODELS, until=TUESDAY).num_rows == 1
    assert lake.read_rows(tables.MODELS, TUESDAY).num_rows == 0


def test_an_emptied_log_entry_is_refused(spark: SparkSession, lake: Lake, tmp_path: Path) -> None:
    lake.write(spark, tables.SEEN_ITEMS, MONDAY, seen(spark, [(2, [2], "night")], MONDAY))
    (tmp_path / "lake/seen_items/_delta_log/00000000000000000001.json").write_bytes(b"")
    with pytest.raises(BadDataError, match=r"0001\.json is empty.*restore it"):
        lake.read(spark, tables.SEEN_ITEMS, MONDAY)


def test_a_committed_file_that_is_gone_is_named(spark: SparkSession, lake: Lake) -> None:
    lake.write(spark, tables.SEEN_ITEMS, MONDAY, seen(spark, [(2, [2], "night")], MONDAY))
    gone = lake.files(tables.SEEN_ITEMS, MONDAY)[0].uri
    Path(gone.removeprefix("file://")).unlink()
    with pytest.raises(BadDataError, match="committed file .*part-.* is gone"):
        lake.read(spark, tables.SEEN_ITEMS, MONDAY)


def test_a_root_that_readers_cannot_spell_is_refused() -> None:
    for root in ("/tmp/my lake", "/tmp/a#b", "/tmp/lac-été", "s3a://bucket/a b"):
        with pytest.raises(SettingsError, match="use only"):
            Lake(root)


def test_a_folder_that_cannot_be_written_is_one_line(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    lake = Lake(str(tmp_path / "file"))
    with pytest.raises((LakeError, BadDataError)) as raised:
        lake.write(spark, tables.SEEN_ITEMS, MONDAY, seen(spark, [], MONDAY))
    assert "\n" not in str(raised.value)


def test_a_table_with_reader_features_is_refused_by_name(
    spark: SparkSession, lake: Lake, tmp_path: Path
) -> None:
    lake.write(spark, tables.SEEN_ITEMS, MONDAY, seen(spark, [(2, [2], "night")], MONDAY))
    (tmp_path / "lake/seen_items/_delta_log/00000000000000000002.json").write_text(
        '{"protocol":{"minReaderVersion":3,"minWriterVersion":7,'
        '"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}\n'
    )
    with pytest.raises(BadDataError, match="uses deletionVectors"):
        lake.read(spark, tables.SEEN_ITEMS, MONDAY)


def test_a_table_of_other_columns_is_refused_and_left_as_it_is(spark: SparkSession, lake: Lake) -> None:
    day = MONDAY
    lake.write_rows(tables.SEGMENT_LISTS, day, [{"segment": "", "items": []}])
    kinds = {"segment": "string", "items": "string", "run_date": "date"}
    other = replace(tables.SEGMENT_LISTS, columns=tuple((name, kind, "") for name, kind in kinds.items()))
    for ask in (
        lambda: lake.write_rows(other, day, [{"segment": "", "items": "x"}]),
        lambda: lake.read_rows(other, day),
        lambda: lake.read(spark, other, day),
    ):
        with pytest.raises(
            BadDataError, match=r"table segment_lists at .*another version of this project: items missing"
        ):
            ask()
    assert lake.read_rows(tables.SEGMENT_LISTS, day).num_rows == 1
