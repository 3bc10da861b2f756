"""Whole runs of build_index and build_features over a real lake."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from pyspark.sql import SparkSession

from recsys_spark import config as settings
from recsys_spark import models, tables
from recsys_spark.config import Config
from recsys_spark.errors import RecsysError
from recsys_spark.jobs import build_features, build_index
from recsys_spark.lake import Lake
from recsys_spark.transforms import arrivals

D = dt.date(2024, 5, 31)
BUILT = (
    tables.FEATURE_COLUMNS, tables.ITEM_FEATURES, tables.SEGMENT_POPULARITY, tables.USER_FEATURES, tables.TRUTH,
    tables.EVENT_EXAMPLES, tables.USER_EXAMPLES, tables.SEEN_ITEMS, tables.HISTORIES, tables.BAGS,
    tables.SEQUENCE_EXAMPLES,
)  # fmt: skip


class Event(NamedTuple):
    user_id: str
    item_id: str
    event_at: dt.datetime
    value: float | None = None
    weight: float = 1.0
    file_name: str = "f"
    row_key: str | None = None  # None: the event's file and place in it


def may(day: int, second: int = 0) -> dt.datetime:
    return dt.datetime(2024, 5, day, 0, 0, second, tzinfo=dt.UTC)


def config(**options: Any) -> Config:
    given = {
        "features.history_length": 3, "features.event_types": ["view"], "features.num_categories": 2,
        "features.title_buckets": 4, "features.user_example_items": 4, "split.valid_days": 3,
        "split.test_days": 3, **options,
    }  # fmt: skip
    return settings.load((), [f"{key}={value}" for key, value in given.items()])


def arrive(
    spark: SparkSession,
    lake: Lake,
    run_date: dt.date,
    events: Iterable[Event],
    users: Iterable[tuple[str, str | None]] = (),
    items: Iterable[tuple[str, str | None, list[str], float | None, int | None]] = (),
    delivery: str = "increment",
) -> None:
    """What ingest would have written."""
    rows = [
        (
            e.user_id,
            e.item_id,
            "view",
            e.event_at,
            e.value,
            e.weight,
            e.row_key or f"{e.file_name}/{n}",
            e.file_name,
            n,
            "s",
            run_date,
        )
        for n, e in enumerate(events)
    ]
    lake.write(spark, tables.INTERACTIONS, run_date, spark.createDataFrame(rows, tables.INTERACTIONS.schema))
    listed = [(*user, "users", n, "s", run_date) for n, user in enumerate(users)]
    lake.write(spark, tables.USERS, run_date, spark.createDataFrame(listed, tables.USERS.schema))
    sold = [(*item, True, None, [], None, "items", n, "s", run_date) for n, item in enumerate(items)]
    lake.write(spark, tables.ITEMS, run_date, spark.createDataFrame(sold, tables.ITEMS.schema))
    names = {("interactions", row[7], delivery) for row in rows}
    names |= {(table, table, "increment") for table, given in (("users", listed), ("items", sold)) if given}
    files = [
        ("s", table, how, name, "", 0, 0, 0, {}, {}, 0, run_date) for table, name, how in sorted(names)
    ]  # fmt: skip
    lake.write(spark, tables.SOURCE_FILES, run_date, spark.createDataFrame(files, tables.SOURCE_FILES.schema))


def build(spark: SparkSession, lake: Lake, run_date: dt.date, config: Config) -> None:
    """Every table, as if a recommender learnt from or read each."""
    build_index.run(spark, lake, config, run_date)
    with patch.object(models, "tables_of_users", lambda *_: {table.name for table in BUILT}):
        build_features.run(spark, lake, config, run_date)


def rows_of(lake: Lake, table: tables.Table, run_date: dt.date, cut: str | None = None) -> Counter[str]:
    """The multiset of rows; floats by all their digits."""
    return Counter(map(repr, lake.read_rows(table, run_date, cut=cut).to_pylist()))


def some_events(seed: int) -> list[Event]:
    """Many ties: users, items and seconds are few."""
    draw = random.Random(seed)
    return [
        Event(
            f"u{draw.randrange(9)}", f"i{draw.randrange(12)}", may(draw.randrange(10, 32), draw.randrange(3)),
            draw.choice([None, 0.1, 0.2, 3.3]), draw.choice([0.1, 0.3, 1.0]),
        )
        for _ in range(160)
    ]  # fmt: skip


USERS = [("u0", "de", 30), ("u1", "fr", None), ("u2", None, 9), ("silent", "de", None)]
ITEMS = [(f"i{n}", f"Blue train {n}", ["a", "b"][: n % 3], 2.0 * n or None, 1990 + n) for n in range(11)]
CUT_TEST = may(29)


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    arrive(spark, lake, D, some_events(1), USERS, ITEMS)
    build(spark, lake, D, config())
    return lake


def test_every_table_is_there_with_its_cuts(lake: Lake) -> None:
    for table in BUILT:
        cuts = set(lake.read_rows(table, D).column("cut").to_pylist())
        if table is tables.TRUTH:
            assert cuts == {"valid", "test"}
        elif table.name.endswith("_examples"):
            assert cuts == {"valid", "night"}
        else:
            assert cuts == set(tables.CUTS), table.name


def test_keys_are_unique(lake: Lake) -> None:
    for table in BUILT:
        rows = lake.read_rows(table, D)
        keys = Counter(tuple(row[name] for name in table.key) for row in rows.to_pylist())
        if table is not tables.EVENT_EXAMPLES:
            assert max(keys.values()) == 1, table.name


def test_features_are_named_place_by_place(lake: Lake) -> None:
    columns = lake.read_rows(tables.FEATURE_COLUMNS, D, cut="night").to_pylist()
    names = {
        e: [c["name"] for c in sorted(columns, key=lambda c: c["position"]) if c["entity"] == e]
        for e in ("item", "user")
    }
    assert names["item"][:6] == ["category:a", "category:b", "title:0", "title:1", "title:2", "title:3"]
    assert names["user"][-2:] == ["affinity:a", "affinity:b"]
    for table, entity in ((tables.ITEM_FEATURES, "item"), (tables.USER_FEATURES, "user")):
        widths = {len(row) for row in lake.read_rows(table, D, cut="night").column("features").to_pylist()}
        assert widths == {len(names[entity])}


@pytest.mark.parametrize(
    ("recommenders", "learnt", "read"),
    [
        (("self_attention",), {"sequence_examples"}, set()),
        (("transitions", "ease"), {"sequence_examples", "bags"}, {"bags"}),
        (("personal_frequency",), set(), set()),
        (("popularity",), set(), set()),
    ],
)
def test_only_what_recommenders_learn_from_and_read_is_wanted(
    recommenders: tuple[str, ...], learnt: set[str], read: set[str]
) -> None:
    assert models.tables_of_users(recommenders, is_training=True) == learnt | read
    assert models.tables_of_users(recommenders, is_training=False) == read


@pytest.mark.slow
def test_what_nobody_learns_from_is_not_built(spark: SparkSession, tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    arrive(spark, lake, D, some_events(1), USERS, ITEMS)
    build_index.run(spark, lake, config(), D)
    build_features.run(spark, lake, config(**{"recommend.recommenders": "popularity"}), D)
    built = {table for table in BUILT if lake.exists(table, D)}
    assert built == set(BUILT) - {
        tables.BAGS, tables.EVENT_EXAMPLES, tables.USER_EXAMPLES, tables.SEQUENCE_EXAMPLES
    }  # fmt: skip
    assert set(lake.read_rows(tables.HISTORIES, D)["cut"].to_pylist()) == {"test", "night"}
    assert lake.read_rows(tables.BLOCKED_ITEMS, D).num_rows == 0 and lake.exists(tables.BLOCKED_ITEMS, D)


@pytest.mark.slow
def test_another_input_order_gives_equal_tables(spark: SparkSession, lake: Lake, tmp_path: Path) -> None:
    shuffled = Lake(str(tmp_path))
    events = some_events(1)
    random.Random(5).shuffle(events)
    arrive(spark, shuffled, D, events, USERS[::-1], ITEMS[::-1])
    spark.conf.set("spark.sql.shuffle.partitions", "5")
    try:
        build(spark, shuffled, D, config())
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", "3")
    for table in BUILT:
        assert rows_of(lake, table, D) == rows_of(shuffled, table, D), table.name


@pytest.mark.slow
def test_running_again_gives_equal_tables(spark: SparkSession, lake: Lake) -> None:
    before = {table.name: rows_of(lake, table, D) for table in (*BUILT, tables.USER_INDEX)}
    build(spark, lake, D, config())
    assert {table.name: rows_of(lake, table, D) for table in (*BUILT, tables.USER_INDEX)} == before


@pytest.mark.slow
def test_later_events_change_nothing_before_the_cut(spark: SparkSession, lake: Lake, tmp_path: Path) -> None:
    other = Lake(str(tmp_path))
    earlier = [e for e in some_events(1) if e.event_at < CUT_TEST]
    later = [
        e._replace(item_id="i3", value=9.0, weight=7.0) for e in some_events(2) if e.event_at >= CUT_TEST
    ]
    arrive(spark, other, D, [*earlier, *later, *later], USERS, ITEMS)
    build(spark, other, D, config())
    for table in BUILT:
        for cut in ("valid", "test"):
            if (table, cut) != (tables.TRUTH, "test"):
                assert rows_of(lake, table, D, cut) == rows_of(other, table, D, cut), (table.name, cut)
    assert rows_of(lake, tables.HISTORIES, D, "night") != rows_of(other, tables.HISTORIES, D, "night")


@pytest.mark.slow
def test_an_event_key_that_comes_again_counts_once_as_it_came_last(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked for by hash where few keys repeat, by sorting all events where many do, or where there are few events."""
    no_training = config(**{"train.enabled": False})
    earlier, again = D - dt.timedelta(days=1), Event("u1", "i9", may(15), 1.0, 1.0, "g", "f/3")
    others = some_events(1)[:40]
    wanted, sorted_by_key, by_hash = (Lake(str(tmp_path / name)) for name in ("wanted", "sorted", "hash"))
    arrive(spark, wanted, earlier, [*others[:3], again, *others[4:]])
    arrive(spark, wanted, D, [])
    for lake in (sorted_by_key, by_hash):
        arrive(spark, lake, earlier, others)
        arrive(spark, lake, D, [again])
    for lake in (wanted, sorted_by_key, by_hash):
        for day in (earlier, D):
            build_index.run(spark, lake, no_training, day)
    build_features.run(spark, wanted, no_training, D)
    monkeypatch.setattr(build_features, "_EVENTS_A_TASK", 10)
    build_features.run(spark, by_hash, no_training, D)
    monkeypatch.setattr(arrivals, "_MOST_REPEATED", 0)
    build_features.run(spark, sorted_by_key, no_training, D)
    assert rows_of(wanted, tables.ITEM_INDEX, D) == rows_of(by_hash, tables.ITEM_INDEX, D)
    for table in (tables.SEEN_ITEMS, tables.HISTORIES, tables.USER_FEATURES, tables.ITEM_FEATURES):
        assert rows_of(by_hash, table, D) == rows_of(sorted_by_key, table, D), table.name
        assert rows_of(by_hash, table, D) == rows_of(wanted, table, D), table.name


@pytest.mark.slow
def test_a_feature_table_that_cannot_be_written_fails_the_job_before_its_last_tables(
    spark: SparkSession, tmp_path: Path
) -> None:
    lake = Lake(str(tmp_path))
    arrive(spark, lake, D, some_events(1), USERS, ITEMS)
    build_index.run(spark, lake, config(), D)
    (tmp_path / "item_features").write_text("in the way")
    before = {key: spark.conf.get(key) for key in (build_features._TASKS, *build_features._SETTINGS)}
    with pytest.raises(RecsysError, match="item_features"):
        build_features.run(spark, lake, config(), D)
    assert not lake.exists(tables.HISTORIES, D) and not lake.exists(tables.SEQUENCE_EXAMPLES, D)
    assert {key: spark.conf.get(key) for key in before} == before
