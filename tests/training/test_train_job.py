"""The job on a small lake: two models in one commit, equal when run again, none when there is too little."""

from __future__ import annotations

import datetime as dt
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from recsys_spark import config, tables
from recsys_spark.forms import folder as folders
from recsys_spark.forms import item_tower, vectors
from recsys_spark.lake import Lake
from recsys_spark.models import self_attention
from recsys_spark.networks.network import Items, assign
from recsys_spark.scoring.index_hash import prefix_hash

D = dt.date(2024, 3, 1)
AT = dt.datetime(2024, 2, 1)
LENGTH, NUM_ITEMS, NUM_USERS = 4, 12, 60
FEATURES = ("age_days", "category:Drama")
OPTIONS = [
    f"features.history_length={LENGTH}",
    "self_attention.embedding_dim=16",
    "self_attention.epochs=8",
    "self_attention.num_blocks=1",
    "self_attention.learning_rate=0.02",
    "self_attention.batch_size=32",
    "train.min_train_users=50",
    "split.min_users=20",
]

job = importlib.import_module("recsys_spark.jobs.train")


def events(items: list[int], length: int) -> dict[str, Any]:
    """One row's lists of `length`, left-padded."""
    pad, num = [0] * (length - len(items)), len(items)
    return {
        "items": pad + items,
        "types": pad + [1] * num,
        "values": [float(x) for x in pad] + [float("nan")] * num,
        "gaps": pad + [60] * num,
        "weights": [float(x) for x in pad] + [1.0] * num,
    }


def item(user: int, place: int) -> int:
    """After item i comes i + 1."""
    return 2 + (user + place) % NUM_ITEMS


def rows_of(
    num_users: int, later_items: int = 0, day: dt.date = D
) -> dict[tables.Table, list[dict[str, Any]]]:
    """Cut valid knows 4 events a user, cut night 5; the fifth is asked for."""
    found: dict[tables.Table, list[dict[str, Any]]] = {
        t: []
        for t in (
            tables.SEQUENCE_EXAMPLES,
            tables.HISTORIES,
            tables.SEEN_ITEMS,
            tables.TRUTH,
            tables.ITEM_FEATURES,
            tables.FEATURE_COLUMNS,
        )
    }
    for user in range(2, 2 + num_users):
        for cut, num in (("valid", 4), ("night", 5)):
            items = [item(user, place) for place in range(num)]
            key = {"user_idx": user, "cut": cut, "run_date": day}
            mask = [0] * (LENGTH + 1 - num) + [0] + [1] * (num - 1)
            found[tables.SEQUENCE_EXAMPLES].append(
                {**key, "window": 0, "mask": mask, **events(items, LENGTH + 1)}
            )
            about = {"num_events": LENGTH, "first_at": AT, "last_at": AT}
            found[tables.HISTORIES].append({**key, **about, **events(items[-LENGTH:], LENGTH)})
            found[tables.SEEN_ITEMS].append({**key, "items": sorted(set(items))})
        found[tables.TRUTH].append(
            {"user_idx": user, "items": [item(user, 4)], "cut": "valid", "run_date": day}
        )
    for cut in ("valid", "night"):
        for position, name in enumerate(FEATURES):
            column = {"entity": "item", "position": position, "name": name, "mean": 0.0, "std": 1.0}
            found[tables.FEATURE_COLUMNS].append({**column, "cut": cut, "run_date": day})
        for idx in range(2, 2 + NUM_ITEMS + later_items):
            num_events = 20 if idx < 2 + NUM_ITEMS else 0
            found[tables.ITEM_FEATURES].append(
                {
                    "item_idx": idx, "item_id": f"i{idx}", "title": None, "categories": [], "is_available": True,
                    "num_events": num_events, "num_users": num_events, "popularity": 1.0,
                    "features": [idx / 10, 1.0], "cut": cut, "run_date": day,
                }
            )  # fmt: skip
    return found


def lake_with(spark: SparkSession, root: Path, num_users: int = NUM_USERS, later_items: int = 0) -> Lake:
    lake = Lake(str(root))
    write_night(spark, lake, D, num_users, later_items)
    return lake


def write_night(spark: SparkSession, lake: Lake, day: dt.date, num_users: int, later_items: int) -> None:
    for table, rows in rows_of(num_users, later_items, day).items():
        lake.write(spark, table, day, spark.createDataFrame(rows, table.schema), row_group_rows=25)
    index = [(f"i{idx}", idx, AT, D) for idx in range(2, 2 + NUM_ITEMS + later_items)]
    numbered = spark.createDataFrame(index, tables.ITEM_INDEX.schema)
    lake.append(
        spark,
        tables.ITEM_INDEX,
        day,
        lambda known: numbered.join(known, "item_id", how="left_anti").select(*numbered.columns),
    )


def run(lake: Lake, work_dir: Path, *options: str, day: dt.date = D) -> list[dict[str, Any]]:
    settings = config.load(options=[*OPTIONS, f"train.work_dir={work_dir}", *options])
    job.run(None, lake, settings, day)
    return sorted(lake.read_rows(tables.MODELS, day).to_pylist(), key=lambda row: row["role"])


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lake_with(spark, tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="module")
def models(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run(lake, tmp_path_factory.mktemp("work"))


def test_there_is_a_twin_and_a_published_model_with_their_data_ends(models: list[dict[str, Any]]) -> None:
    assert [(row["role"], row["name"]) for row in models] == [
        ("published", "self_attention"), ("twin", "self_attention")
    ]  # fmt: skip
    night = dt.datetime(2024, 3, 2, tzinfo=dt.UTC)
    assert [row["data_end"] for row in models] == [night, night - dt.timedelta(days=14)]


def test_what_code_reads_are_columns(models: list[dict[str, Any]]) -> None:
    epochs = json.loads(models[1]["manifest"])["epochs"]
    for row in models:
        assert (row["form"], row["learns_from"]) == ("vectors", "sequence_examples")
        assert (row["split"], row["num_items"], row["epochs"]) == ("time", 2 + NUM_ITEMS, epochs)
        assert row["item_index_hash"] == prefix_hash([(i, f"i{i}") for i in range(2, 14)], 14)
        assert (row["start_version"], row["members"]) == (None, [])
        assert row["version"] == folders.version_of(dict(row["files"]))


def test_the_manifest_tells_rows_epochs_and_seed(models: list[dict[str, Any]]) -> None:
    published, twin = (json.loads(row["manifest"]) for row in models)
    assert published["rows_per_epoch"] == twin["rows_per_epoch"] == NUM_USERS
    assert published["epochs"] == twin["epochs"] == len(published["log"])
    assert twin["settings"]["seed"] == 1
    assert max(entry["ndcg"] for entry in twin["log"]) > 0.6  # each item is equally popular: 0.49 by chance


def test_too_few_validation_users_choose_no_epochs(lake: Lake, tmp_path: Path) -> None:
    published, twin = (
        json.loads(row["manifest"])
        for row in run(
            lake, tmp_path, "split.min_users=100000", "train.max_valid_users=90000", "self_attention.epochs=2"
        )
    )
    assert published["epochs"] == twin["epochs"] == 2
    assert "ndcg" not in twin["log"][0]


@pytest.mark.parametrize(
    "options",
    [
        ("negatives=in_batch", "mask_share=0.1"),
        pytest.param(("num_negatives=6", "negatives=uniform", "crop_share=0.2"), marks=pytest.mark.slow),
    ],
)
def test_negatives_and_augmentation_are_settings(
    lake: Lake, tmp_path: Path, options: tuple[str, ...]
) -> None:
    twin = run(lake, tmp_path, *(f"self_attention.{option}" for option in options))[1]
    manifest, stored = json.loads(twin["manifest"]), folders.load_settings(lake.get_model(twin["version"]))
    for name, value in (option.split("=") for option in options):
        assert str(stored[name]) == str(manifest["settings"][name]) == value
    assert max(entry["ndcg"] for entry in manifest["log"]) > 0.55


def test_the_stored_model_is_whole_and_ranks_the_planted_item_first(
    lake: Lake, models: list[dict[str, Any]]
) -> None:
    folder = lake.get_model(models[0]["version"])
    folders.verify(folder, dict(models[0]["files"]))
    histories = [events([item(user, place) for place in range(1, 5)], LENGTH) for user in range(NUM_ITEMS)]
    dtypes = {
        "items": np.int32,
        "types": np.int32,
        "values": np.float32,
        "gaps": np.int32,
        "weights": np.float32,
    }
    rows = {name: np.array([history[name] for history in histories], kind) for name, kind in dtypes.items()}
    scores = self_attention.encoder(folder, 1)(rows) @ folders.load_array(folder / vectors.ITEM_VECTORS).T
    scores[:, ~folders.load_trained_items(folder)] = -np.inf
    for user, history in enumerate(histories):
        scores[user, history["items"]] = -np.inf
    assert np.mean(scores.argmax(axis=1) == [item(user, 5) for user in range(NUM_ITEMS)]) > 0.6


def test_the_stored_tower_is_the_networks_own_with_the_id_unknown(
    lake: Lake, models: list[dict[str, Any]]
) -> None:
    columns = item_tower.Columns(FEATURES, [0.0, 0.0], [1.0, 1.0])
    for row in models:
        folder = lake.get_model(row["version"])
        weights = folders.load_arrays(folder / vectors.WEIGHTS)
        settings = self_attention.Settings(**folders.load_settings(folder))
        network = self_attention.SelfAttention(settings, Items(weights["item_counts"], weights["features"]))
        assign(network, weights)
        projection = np.asarray(network.feature_projection)
        network.feature_projection.assign(projection * [[1], [0]])  # without what the category says
        rest = network.item_vectors()[folders.load_trained_items(folder)].mean(axis=0)  # all are as rare
        features = np.array([[9.0, 1.0]], np.float32)
        vector, _ = item_tower.vectors(features, columns, item_tower.load(folder))
        np.testing.assert_allclose(vector[0], rest + np.append(projection[1], 0), rtol=1e-4, atol=1e-5)


def test_running_again_gives_equal_rows(lake: Lake, models: list[dict[str, Any]], tmp_path: Path) -> None:
    assert run(lake, tmp_path) == models
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_item_first_seen_after_the_cut_changes_nothing(
    spark: SparkSession, models: list[dict[str, Any]], tmp_path: Path
) -> None:
    more = run(lake_with(spark, tmp_path / "lake", later_items=3), tmp_path / "work")
    assert [row["version"] for row in more] == [row["version"] for row in models]


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("train.enabled=false", "train.enabled"),
        ("recommend.recommenders=popularity", "recommend.recommenders"),
        ("train.min_train_users=61", "self_attention_twin_users=60 min_train_users=61"),
    ],
)
def test_too_little_or_switched_off_trains_nothing_and_says_why(
    lake: Lake, tmp_path: Path, caplog: pytest.LogCaptureFixture, option: str, reason: str
) -> None:
    before = lake.read_rows(tables.MODELS)
    with caplog.at_level("INFO"):
        run(lake, tmp_path, option)
    assert reason in caplog.text
    assert lake.read_rows(tables.MODELS) == before
