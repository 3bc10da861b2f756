"""The job with transitions: two models in one commit, equal when run again, and what they list."""

from __future__ import annotations

import datetime as dt
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from recsys_spark import cli, config, tables
from recsys_spark.errors import BadDataError
from recsys_spark.forms import folder as folders
from recsys_spark.forms import item_item
from recsys_spark.forms.form import Eligible
from recsys_spark.lake import Lake
from recsys_spark.models import transitions
from recsys_spark.scoring.index_hash import prefix_hash

D = dt.date(2024, 3, 1)
AT = dt.datetime(2024, 2, 1)
LENGTH, NUM_ITEMS, NUM_USERS, POPULAR = 4, 12, 60, 14
V = 2 + NUM_ITEMS + 1
OPTIONS = ["recommend.recommenders=transitions", f"features.history_length={LENGTH}"]

job = importlib.import_module("recsys_spark.jobs.train")


def walk(user: int, num: int) -> list[int]:
    """After item i comes i + 1, but a fifth of the later events is the popular item."""
    items = [2 + (user + place) % NUM_ITEMS for place in range(num)]
    return [
        POPULAR if (user // NUM_ITEMS + place) % 5 == 0 and place else item
        for place, item in enumerate(items)
    ]


def rows_of(num_users: int, later_items: int = 0) -> dict[tables.Table, list[dict[str, Any]]]:
    """Cut valid knows 4 events a user, cut night 5."""
    names = (tables.SEQUENCE_EXAMPLES, tables.ITEM_FEATURES, tables.FEATURE_COLUMNS)
    found: dict[tables.Table, list[dict[str, Any]]] = {table: [] for table in names}
    for cut, num in (("valid", 4), ("night", 5)):
        key = {"cut": cut, "run_date": D}
        for user in range(num_users):
            items, pad = walk(user, num), [0] * (LENGTH + 1 - num)
            floats = [*map(float, pad), *[1.0] * num]
            found[tables.SEQUENCE_EXAMPLES].append(
                {
                    **key, "user_idx": user + 2, "window": 0, "items": pad + items, "types": pad + [1] * num,
                    "values": floats, "gaps": pad + [60] * num, "weights": floats,
                    "mask": pad + [0] + [1] * (num - 1),
                }
            )  # fmt: skip
        for idx in range(2, V + later_items):
            num_events = 20 if idx < V else 0
            found[tables.ITEM_FEATURES].append(
                {
                    **key, "item_idx": idx, "item_id": f"i{idx}", "title": None, "categories": [],
                    "is_available": True, "num_events": num_events, "num_users": num_events, "popularity": 1.0,
                    "features": [],
                }
            )  # fmt: skip
    return found


def lake_with(
    spark: SparkSession, root: Path, later_items: int = 0, num_partitions: int = 2, num_users: int = NUM_USERS
) -> Lake:
    lake = Lake(str(root))
    for table, rows in rows_of(num_users, later_items).items():
        frame = spark.createDataFrame(rows, table.schema).repartition(num_partitions)
        lake.write(spark, table, D, frame)
    index = [(f"i{idx}", idx, AT, D) for idx in range(2, V + later_items)]
    numbered = spark.createDataFrame(index, tables.ITEM_INDEX.schema)
    lake.append(spark, tables.ITEM_INDEX, D, lambda _: numbered)
    return lake


def run(spark: SparkSession, lake: Lake, *options: str) -> list[dict[str, Any]]:
    job.run(spark, lake, config.load(options=[*OPTIONS, *options]), D)
    return sorted(lake.read_rows(tables.MODELS, D).to_pylist(), key=lambda row: row["role"])


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lake_with(spark, tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="module")
def models(spark: SparkSession, lake: Lake) -> list[dict[str, Any]]:
    return run(spark, lake)


def test_there_is_a_twin_and_a_published_model_with_their_data_ends(models: list[dict[str, Any]]) -> None:
    assert [(row["role"], row["name"]) for row in models] == [
        ("published", "transitions"), ("twin", "transitions")
    ]  # fmt: skip
    night = dt.datetime(2024, 3, 2, tzinfo=dt.UTC)
    assert [row["data_end"] for row in models] == [night, night - dt.timedelta(days=14)]
    assert models[0]["version"] != models[1]["version"]


def test_what_code_reads_are_columns(models: list[dict[str, Any]]) -> None:
    for row in models:
        assert (row["form"], row["learns_from"], row["split"]) == ("item_item", "sequence_examples", "time")
        assert row["num_items"] == V
        assert row["item_index_hash"] == prefix_hash([(i, f"i{i}") for i in range(2, V)], V)
        assert (row["epochs"], row["start_version"], row["members"], row["state_files"]) == (
            None,
            None,
            [],
            [],
        )
        assert row["version"] == folders.version_of(dict(row["files"]))


def test_the_manifest_tells_rows_and_settings(models: list[dict[str, Any]]) -> None:
    published, twin = (json.loads(row["manifest"]) for row in models)
    assert published["data"]["rows"] == twin["data"]["rows"] == NUM_USERS
    assert published["data"]["sha256"] != twin["data"]["sha256"]
    assert twin["settings"] == config.load().transitions.model_dump()


def test_the_stored_model_is_whole_and_lists_what_comes_next_before_what_is_popular(
    lake: Lake, models: list[dict[str, Any]]
) -> None:
    folder = lake.get_model(models[0]["version"])
    folders.verify(folder, dict(models[0]["files"]))
    form = item_item.load(folder)
    assert form.is_trained.tolist() == [False, False, *[True] * (NUM_ITEMS + 1)]
    rank = form.ranking(Eligible(form.is_trained.astype(np.int32), np.array([[0.0, 1.0]])))
    users = np.arange(NUM_ITEMS)
    for length in (1, 3):  # also users with a single event
        history = np.zeros((NUM_ITEMS, LENGTH), np.int64)
        for user in users:
            history[user, -length:] = [2 + (user + place) % NUM_ITEMS for place in range(length)]
        seen = (np.repeat(users, LENGTH), history.ravel())
        best = rank({"items": history})(users, np.zeros_like(users), 2, seen).item_idx
        expected = 2 + (users + length) % NUM_ITEMS
        assert best[:, 0].tolist() == expected.tolist()
    counts = np.bincount(form.matrix.neighbours, form.matrix.weights)
    assert counts.argmax() == POPULAR


def test_running_again_gives_equal_rows(
    spark: SparkSession, lake: Lake, models: list[dict[str, Any]]
) -> None:
    assert run(spark, lake) == models


def test_neither_partitions_nor_items_first_seen_after_the_cut_change_anything(
    spark: SparkSession, models: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert run(spark, lake_with(spark, tmp_path, later_items=3, num_partitions=7)) == models


def test_the_pieces_handed_to_the_driver_do_not_matter(
    spark: SparkSession, lake: Lake, models: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transitions, "_ROWS_AT_ONCE", 300)  # three items a piece
    assert run(spark, lake) == models


@pytest.mark.parametrize(
    "option", ["max_lag=1", "lag_decay=0.5", "max_neighbours=2", "row_power=0.5", "history_decay=0.5"]
)
def test_every_setting_makes_another_model(
    spark: SparkSession, lake: Lake, models: list[dict[str, Any]], option: str
) -> None:
    changed = run(spark, lake, f"transitions.{option}")[0]
    assert changed["version"] != models[0]["version"]
    name, value = option.split("=")
    folder = lake.get_model(changed["version"])
    assert folders.load_settings(folder)[name] == float(value)
    assert name != "max_neighbours" or np.diff(item_item.load(folder).matrix.starts).max() == 2


def test_an_item_without_features_is_refused(spark: SparkSession, lake: Lake) -> None:
    windows = lake.read(spark, tables.SEQUENCE_EXAMPLES, D, cut="night")
    with pytest.raises(BadDataError, match="item_idx 14, expected below 14"):
        transitions.fit(windows, np.full(POPULAR, 20), config.load().transitions.model_dump())


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("train.enabled=false", "train.enabled"),
        ("train.min_train_users=61", "transitions_twin_users=60 min_train_users=61"),
    ],
)
def test_too_little_or_switched_off_trains_nothing_and_says_why(
    spark: SparkSession, lake: Lake, caplog: pytest.LogCaptureFixture, option: str, reason: str
) -> None:
    before = lake.read_rows(tables.MODELS)
    with caplog.at_level("INFO"):
        run(spark, lake, option)
    assert reason in caplog.text
    assert lake.read_rows(tables.MODELS) == before


@pytest.mark.parametrize(
    ("options", "starts"),
    [
        (["recommend.recommenders=transitions"], True),
        (["recommend.recommenders=transitions", "train.enabled=false"], False),
        (["train.num_workers=2"], True),
        (["train.num_workers=2", "recommend.recommenders=popularity"], False),
        ([], False),
    ],
)
def test_train_starts_spark_only_where_it_is_used(tmp_path: Path, options: list[str], starts: bool) -> None:
    started: list[bool] = []
    chosen = config.load(options=[f"lake.root={tmp_path}/lake", *options])
    assert cli.execute("train", lambda *_: None, chosen, D, lambda: started.append(True)).exit_status == 0  # type: ignore[arg-type,return-value]
    assert bool(started) == starts
