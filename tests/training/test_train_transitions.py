"""The job with transitions: two models in one commit, equal when run again, and what they list."""

from __future__ import annotations

import datetime as dt
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession
from recsys_spark.training.index_hash import prefix_hash

from recsys_spark import cli, config, tables
from recsys_spark.errors import BadDataError
from recsys_spark.lake import Lake
from recsys_spark.models import artifacts, transitions
from recsys_spark.ranking.item_item import ItemItem, top_n
from recsys_spark.training import transitions as training

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


def test_the_manifest_tells_rows_settings_and_index(models: list[dict[str, Any]]) -> None:
    published, twin = (json.loads(row["manifest"]) for row in models)
    assert published["data"]["rows"] == twin["data"]["rows"] == NUM_USERS
    assert published["data"]["sha256"] != twin["data"]["sha256"]
    assert twin["num_items"] == V
    assert twin["item_index_hash"] == prefix_hash([(i, f"i{i}") for i in range(2, V)], V)
    assert twin["settings"] == config.load().transitions.model_dump()


def test_the_stored_model_is_whole_and_lists_what_comes_next_before_what_is_popular(
    lake: Lake, models: list[dict[str, Any]]
) -> None:
    folder = lake.get_model(models[0]["version"])
    artifacts.verify(folder, dict(models[0]["files"]))
    model = transitions.load(folder)
    assert model.trained_items.tolist() == [False, False, *[True] * (NUM_ITEMS + 1)]
    matrix = ItemItem(model.starts, model.neighbours, model.weights)
    users = np.arange(NUM_ITEMS)
    for length in (1, 3):  # also users with a single event
        history = np.zeros((NUM_ITEMS, LENGTH), np.int64)
        for user in users:
            history[user, -length:] = [2 + (user + place) % NUM_ITEMS for place in range(length)]
        weights = transitions.history_weights(history, model.history_decay)
        seen = (np.repeat(users, LENGTH), history.ravel())
        best = top_n(history, weights, matrix, model.trained_items, 2, seen).item_idx
        expected = 2 + (users + length) % NUM_ITEMS
        assert best[:, 0].tolist() == expected.tolist()
    counts = np.bincount(model.neighbours, model.weights)
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
    monkeypatch.setattr(training, "_ROWS_AT_ONCE", 300)  # three items a piece
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
    assert artifacts.load_settings(lake.get_model(changed["version"]))[name] == float(value)
    model = transitions.load(lake.get_model(changed["version"]))
    assert name != "max_neighbours" or np.diff(model.starts).max() == 2


def test_an_item_without_features_is_refused(spark: SparkSession, lake: Lake) -> None:
    windows = lake.read(spark, tables.SEQUENCE_EXAMPLES, D, cut="night")
    features = lake.read_rows(tables.ITEM_FEATURES, D, cut="night")
    items = features.filter(pc.less(features["item_idx"], POPULAR))
    settings = training.Settings(**config.load().transitions.model_dump())
    sources = {"twin": training.Source(windows, items, AT)}
    with pytest.raises(BadDataError, match="item_idx 14, expected below 14"):
        training.train(sources, lake.read_rows(tables.ITEM_INDEX), settings, lambda *_: None)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("train.enabled=false", "train.enabled"),
        ("train.min_train_users=61", "twin_users=60 min_train_users=61"),
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
