"""Ingest through a real lake: literal files in, tables out, and every bad input by its name."""

from __future__ import annotations

import datetime as dt
import gzip
import hmac
import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from recsys_spark import config, tables
from recsys_spark.errors import BadDataError, MissingInputError, SettingsError
from recsys_spark.jobs import ingest
from recsys_spark.lake import Lake
from recsys_spark.transforms import arrivals

D = dt.date(2024, 3, 10)
NOON = int(dt.datetime(2024, 3, 10, 12, tzinfo=dt.UTC).timestamp())
HEADER = "user,item,action,at,amount,mail\n"
EVENTS = {
    "table": "interactions",
    "files": "events-{run_date}*",
    "delivery": "increment",
    "fields": ["user", "item", "action", "at", "amount", "mail"],
    "read": ["user", "item", "action", "at", "amount"],
    "columns": {
        "user_id": "user",
        "item_id": "item",
        "event_type": "action",
        "event_at": "at",
        "value": "amount",
    },
    "event_types": {"view": {"weight": 1.0, "values": ["view", "v"]}, "purchase": {"weight": 5.0}},
    "time": "epoch_seconds",
    "value_range": [0, 100],
    "row_key": ["user_id", "item_id", "event_at"],
    "filters": {"robot": "user LIKE 'bot%'"},
}
ITEMS = {
    "table": "items",
    "files": "items.jsonl",
    "optional": True,
    "delivery": "full",
    "format": "jsonl",
    "read": ["sku", "name", "tags", "price"],
    "columns": {"item_id": "sku", "title": "name", "categories": "tags", "price": "price"},
}


class Shop:
    """A source folder, its mapping and a lake."""

    def __init__(self, spark: Any, root: Path) -> None:
        self.spark, self.root = spark, root
        self.folder = root / "shop"
        self.folder.mkdir()
        self.lake = Lake(str(root / "lake"))
        self.map(EVENTS, ITEMS)

    def map(self, *feeds: dict[str, Any]) -> None:
        (self.root / "shop.yaml").write_text(yaml.safe_dump({"feeds": list(feeds)}), encoding="utf-8")

    def put(self, text: str | bytes, name: str = f"events-{D}.csv") -> None:
        (self.folder / name).write_bytes(text.encode() if isinstance(text, str) else text)

    def ingest(self, *options: str, run_date: dt.date = D, more: str = "") -> None:
        sources = f"sources={{shop: {{mapping: {self.root}/shop.yaml, folder: {self.folder}}}{more}}}"
        ingest.run(self.spark, self.lake, config.load([], [sources, *options]), run_date)

    def rows(self, table: tables.Table, *columns: str, run_date: dt.date = D) -> list[tuple[Any, ...]]:
        rows = self.lake.read_rows(table, run_date).select(list(columns)).to_pylist()
        return sorted((tuple(row.values()) for row in rows), key=str)

    def current(self, run_date: dt.date, *columns: str) -> list[tuple[Any, ...]]:
        events = self.lake.read(self.spark, tables.INTERACTIONS, until=run_date)
        files = self.lake.read(self.spark, tables.SOURCE_FILES, until=run_date)
        seen = arrivals.only_current(events, files, run_date, "interactions")
        return sorted(tuple(row) for row in seen.select(*columns).collect())


@pytest.fixture
def shop(spark, tmp_path):
    return Shop(spark, tmp_path)


def line(user: str, item: str, *, action: str = "view", at: int = NOON, amount: str = "1") -> str:
    return f"{user},{item},{action},{at},{amount},secret@x\n"


LENIENT = "ingest.max_quarantined_share=1.0"


def test_every_record_is_kept_filtered_quarantined_or_a_duplicate_and_counted(shop):
    shop.put(
        HEADER
        + line("u1", "007", action="v", amount="2.5")
        + line("bot1", "a")
        + line("u1", "007", action="purchase")  # the key of record 1
        + line("", "a")
        + line('"  "', "a")
        + line("u2", "b", at=NOON + 12 * 3600)  # the first second after the run date
        + line("u2", "c", at=NOON + 12 * 3600 - 1)
        + line("u2", "d", at=-1)
        + line("u2", "e").replace(str(NOON), "yesterday")
        + line("u2", "f", amount="NaN")
        + line("u2", "g", amount="Infinity")
        + line("u2", "h", amount="-1")
        + line("u2", "i", amount="many")
        + line("u2", "j", amount="")
        + line("u2", "k", action="stare")
        + "u2,l\n"
        + line("bot2", "m", amount="NaN")  # filters come before checks
        + line('"u, 😀 3"', " n ", action="purchase")
    )
    shop.ingest(LENIENT)
    end_of_day = dt.datetime(2024, 3, 10, 23, 59, 59, tzinfo=dt.UTC)
    assert shop.rows(
        tables.INTERACTIONS, "user_id", "item_id", "event_type", "value", "weight", "record"
    ) == [
        ("u, 😀 3", " n ", "purchase", 1.0, 5.0, 18),
        ("u1", "007", "view", 2.5, 1.0, 1),
        ("u2", "c", "view", 1.0, 1.0, 7),
    ]
    assert end_of_day in [at for (at,) in shop.rows(tables.INTERACTIONS, "event_at")]
    assert shop.rows(tables.QUARANTINE, "record", "reason") == sorted(
        [
            (4, "null_id"),
            (5, "empty_id"),
            (6, "future_time"),
            (8, "impossible_time"),
            (9, "unparsable_time"),
            (10, "not_a_number"),
            (11, "infinite"),
            (12, "out_of_range"),
            (13, "unparsable_value"),
            (14, "null_value"),
            (15, "unknown_event_type"),
            (16, "wrong_column_count"),
        ],
        key=str,
    )
    ((parsed, kept, filtered, quarantined, duplicates),) = shop.rows(
        tables.SOURCE_FILES, "num_parsed", "num_kept", "num_filtered", "num_quarantined", "num_duplicates"
    )
    assert (parsed, kept, dict(filtered), sum(dict(quarantined).values()), duplicates) == (
        18,
        3,
        {"robot": 2},
        12,
        1,
    )


def test_a_quarantined_row_keeps_the_allowed_fields_and_its_text(shop):
    shop.put(HEADER + line("u1", "a", amount="many"))
    shop.ingest(LENIENT)
    ((fields, raw),) = shop.rows(tables.QUARANTINE, "fields", "raw")
    assert dict(fields) == {"user": "u1", "item": "a", "action": "view", "at": str(NOON), "amount": "many"}
    assert raw == f"u1,a,view,{NOON},many,secret@x"


def test_pseudonyms_leave_no_raw_user_id_anywhere_below_the_lake(shop, monkeypatch):
    key = "k" * 32
    monkeypatch.setenv("RECSYS_PSEUDONYM_KEY", key)
    shop.put(HEADER + line("alice77", "a") + line("alice77", "b", amount="many") + "alice77,c\n")
    shop.ingest(LENIENT, "ingest.pseudonyms=true")
    alice = hmac.digest(key.encode(), b"alice77", "sha256").hex()
    assert shop.rows(tables.INTERACTIONS, "user_id", "item_id") == [(alice, "a")]
    bad = {
        reason: (fields, raw)
        for reason, fields, raw in shop.rows(tables.QUARANTINE, "reason", "fields", "raw")
    }
    assert dict(bad["unparsable_value"][0])["user_id"] == alice
    assert bad["wrong_column_count"] == (None, None)
    files = [path for path in (shop.root / "lake").rglob("*") if path.is_file()]
    texts = [
        shop.lake.read_rows(t, D).to_pandas().to_string() for t in (tables.INTERACTIONS, tables.QUARANTINE)
    ]
    assert not any(b"alice77" in path.read_bytes() for path in files)
    assert not any("alice77" in text for text in texts)


def test_pseudonyms_without_a_key_are_refused(shop, monkeypatch):
    monkeypatch.delenv("RECSYS_PSEUDONYM_KEY", raising=False)
    shop.put(HEADER + line("u1", "a"))
    with pytest.raises(SettingsError, match="RECSYS_PSEUDONYM_KEY holds 0 bytes"):
        shop.ingest("ingest.pseudonyms=true")


def test_too_many_bad_records_fail_the_night_and_nothing_is_written(shop):
    shop.put(HEADER + "".join(line("u", str(i)) for i in range(8)) + line("u", "x", amount="?") + "u\n")
    words = (
        r"events-2024-03-10.csv.*2 of 10 records are bad \(20.00%\), expected at most 15.00%; most often unp"
    )
    with pytest.raises(BadDataError, match=words):
        shop.ingest("ingest.max_quarantined_share=0.15")
    assert not shop.lake.exists(tables.INTERACTIONS, D)
    shop.ingest("ingest.max_quarantined_share=0.2")  # the share itself is allowed
    assert len(shop.rows(tables.INTERACTIONS, "item_id")) == 8


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "file_empty"),
        (b"item,user,action,at,amount,mail\n", "file_swapped_header"),
        (gzip.compress(HEADER.encode() * 5000, mtime=0)[:60], "file_truncated"),
    ],
)
def test_a_file_that_cannot_be_trusted_fails_the_night(shop, data, reason):
    shop.put(data)
    with pytest.raises(BadDataError, match=rf"source shop, file events-{D}.csv .interactions.: {reason}"):
        shop.ingest()


def test_a_bad_file_in_quarantine_is_recorded_whole_and_takes_no_key_from_a_good_one(shop):
    good = line("u1", "a", amount="1")
    shop.put((HEADER + good + '"open,quote\n').encode(), f"events-{D}-1.csv")
    shop.put(HEADER + good + line("u1", "b"), f"events-{D}-2.csv")
    shop.ingest("ingest.on_bad_file=quarantine")
    assert shop.rows(tables.INTERACTIONS, "item_id", "file_name") == [
        ("a", f"events-{D}-2.csv"),
        ("b", f"events-{D}-2.csv"),
    ]
    assert shop.rows(tables.QUARANTINE, "file_name", "record", "reason") == [
        (f"events-{D}-1.csv", 0, "file_unbalanced_quote")
    ]
    assert shop.rows(tables.SOURCE_FILES, "file_name", "num_parsed", "num_kept") == [
        (f"events-{D}-1.csv", 1, 0),
        (f"events-{D}-2.csv", 2, 2),
    ]


def test_no_source_is_a_fault_of_the_settings(shop):
    with pytest.raises(SettingsError, match="sources: none is configured"):
        ingest.run(shop.spark, shop.lake, config.load(), D)


def test_a_missing_folder_is_named(shop):
    shop.folder.rmdir()
    with pytest.raises(MissingInputError, match=f"source shop: no folder {shop.folder}"):
        shop.ingest("ingest.on_no_data=skip")


def test_a_date_without_data_fails(shop):
    with pytest.raises(
        MissingInputError, match="no interactions for 2024-03-10.*no file matches events-2024-03-10"
    ):
        shop.ingest()


def test_a_date_without_data_writes_empty_tables_when_it_may_be_skipped(shop):
    shop.ingest("ingest.on_no_data=skip")
    for table in (tables.INTERACTIONS, tables.SOURCE_FILES, tables.QUARANTINE):
        assert shop.lake.read(shop.spark, table, D).count() == 0


def test_a_file_still_being_written_counts_as_not_there(shop):
    shop.put(HEADER + line("u1", "a"))
    with pytest.raises(MissingInputError, match=f"events-{D}.csv is still being written.*60 s of quiet"):
        shop.ingest("ingest.quiet_seconds=60")
    with pytest.raises(MissingInputError, match="no DONE-2024-03-10 beside it"):
        shop.ingest("ingest.ready_marker='DONE-{run_date}'")
    shop.put("", f"DONE-{D}")
    hour_ago = time.time() - 3600
    os.utime(shop.folder / f"events-{D}.csv", (hour_ago, hour_ago))
    shop.ingest("ingest.quiet_seconds=60", "ingest.ready_marker='DONE-{run_date}'")
    assert len(shop.rows(tables.INTERACTIONS, "item_id")) == 1


def test_events_of_a_user_beyond_the_day_limit_are_filtered_oldest_first(shop):
    events = [line("u1", str(i), at=NOON + i) for i in range(5)] + [
        line("u2", "x"),
        line("u1", "y", at=NOON - 86400),
    ]
    shop.put(HEADER + "".join(reversed(events)))
    shop.ingest("ingest.max_events_per_user_day=2")
    assert shop.rows(tables.INTERACTIONS, "user_id", "item_id") == [
        ("u1", "0"),
        ("u1", "1"),
        ("u1", "y"),
        ("u2", "x"),
    ]
    ((filtered,),) = shop.rows(tables.SOURCE_FILES, "num_filtered")
    assert dict(filtered) == {"max_events_per_user_day": 3}


@pytest.mark.slow
def test_late_again_and_corrected_files_change_only_what_they_say(shop):
    late = line("u1", "late", at=NOON - 2 * 86400)
    shop.put(HEADER + line("u1", "a") + line("u1", "b"))
    shop.ingest()
    next_day = D + dt.timedelta(days=1)
    shop.put(HEADER + late, f"events-{next_day}.csv")  # two days late
    shop.ingest(run_date=next_day)
    assert shop.current(next_day, "item_id") == [("a",), ("b",), ("late",)]
    third = D + dt.timedelta(days=2)
    shop.map(EVENTS | {"files": "events-*"}, ITEMS)  # this night the old files are delivered again
    shop.put(HEADER + line("u1", "a", amount="9"))  # corrected: a has another value, b is gone
    shop.ingest(run_date=third)
    assert shop.current(third, "item_id", "value", "run_date") == [("a", 9.0, third), ("late", 1.0, third)]
    assert shop.current(next_day, "item_id") == [("a",), ("b",), ("late",)]  # as that night saw it


def test_a_second_source_in_one_night_keeps_to_itself(shop):
    shop.put(HEADER + line("u1", "a"))
    other = shop.root / "other"
    other.mkdir()
    (other / f"events-{D}.csv").write_text(HEADER + line("u1", "a") + line("u1", "z"), encoding="utf-8")
    shop.ingest(more=f", other: {{mapping: {shop.root}/shop.yaml, folder: {other}}}")
    assert shop.current(D, "source", "item_id") == [("other", "a"), ("other", "z"), ("shop", "a")]


def test_an_item_absent_from_the_newest_full_catalogue_is_withdrawn(shop):
    next_day = D + dt.timedelta(days=1)
    shop.put('{"sku": "a", "name": "A", "tags": ["y", "x", "y"], "price": 2}\n{"sku": "b"}\n', "items.jsonl")
    shop.put(HEADER + line("u1", "a"))
    shop.ingest()
    shop.put('{"sku": "b", "name": "B"}\n', "items.jsonl")
    shop.put(HEADER + line("u1", "a"), f"events-{next_day}.csv")
    shop.ingest(run_date=next_day)
    items = shop.lake.read(shop.spark, tables.ITEMS, until=next_day)
    files = shop.lake.read(shop.spark, tables.SOURCE_FILES, until=next_day)
    known = arrivals.catalogue(items, files, next_day).select(
        "item_id", "title", "categories", "is_available"
    )
    assert sorted(map(tuple, known.collect())) == [("a", "A", ["x", "y"], False), ("b", "B", [], True)]


def test_running_a_night_again_leaves_the_same_rows(shop):
    shop.put(HEADER + line("u1", "a") + line("u1", "a") + line("u2", "b"))
    shop.ingest()
    columns = tables.INTERACTIONS.schema.fieldNames()
    before = shop.rows(tables.INTERACTIONS, *columns)
    shop.ingest()
    assert shop.rows(tables.INTERACTIONS, *columns) == before


def test_a_cast_that_fails_in_a_filter_is_one_line_that_says_how_to_write_it(shop):
    shop.map(EVENTS | {"filters": {"cheap": "CAST(amount AS INT) < 1"}})
    shop.put(HEADER + line("u1", "a", amount="2.5"))
    with pytest.raises(BadDataError, match="CAST_INVALID_INPUT.*try_cast"):
        shop.ingest()


def test_an_expression_over_a_column_outside_the_allow_list_is_refused(shop):
    shop.map(EVENTS | {"filters": {"staff": "mail LIKE '%@x'"}})
    shop.put(HEADER + line("u1", "a"))
    with pytest.raises(SettingsError, match="source shop, feed 1 of its mapping .interactions.: .*mail"):
        shop.ingest()
