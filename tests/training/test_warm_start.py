"""The twin starts from last night's twin, the published model from the published one, never from later data."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from test_train_job import AT, NUM_USERS, D, lake_with, run, write_night

from recsys_spark import tables
from recsys_spark.errors import TrainingError
from recsys_spark.forms.item_tower import Columns
from recsys_spark.lake import Lake
from recsys_spark.models.self_attention import SelfAttention, Settings
from recsys_spark.networks.network import Items, named
from recsys_spark.training import warm
from recsys_spark.training.lessons import Earlier, Lesson
from recsys_spark.training.optimizers import optimizer

NEXT = D + dt.timedelta(days=1)
WARM = "train.warm_start=true"


@pytest.fixture(scope="module")
def nights(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Lake, list[dict[str, Any]]]:
    """A lake with a cold night, its models, and the next night's tables with two more items."""
    lake = lake_with(spark, tmp_path_factory.mktemp("lake"))
    models = run(lake, tmp_path_factory.mktemp("work"))
    write_night(spark, lake, NEXT, NUM_USERS, 2)
    return lake, models


@pytest.fixture(scope="module")
def warmed(
    nights: tuple[Lake, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    return run(nights[0], tmp_path_factory.mktemp("work"), WARM, day=NEXT)


def manifest(row: dict[str, Any]) -> dict[str, Any]:
    return json.loads(row["manifest"])  # type: ignore[no-any-return]


def test_each_model_starts_from_its_own_kind(
    nights: tuple[Lake, list[dict[str, Any]]], warmed: list[dict[str, Any]]
) -> None:
    for before, now in zip(nights[1], warmed, strict=True):
        assert before["role"] == now["role"]
        assert manifest(now)["warm_start"]["from_version"] == now["start_version"] == before["version"]
        assert manifest(now)["warm_start"]["from_run_date"] == str(D)


def test_the_manifest_tells_the_steps_that_the_start_saved(
    nights: tuple[Lake, list[dict[str, Any]]], warmed: list[dict[str, Any]]
) -> None:
    cold, told = manifest(nights[1][1])["cold_start"], manifest(warmed[1])
    assert cold["ndcg"] == max(entry["ndcg"] for entry in manifest(nights[1][1])["log"])
    assert told["cold_start"] == cold
    assert told["warm_start"]["steps"] < cold["steps"]


@pytest.mark.slow
def test_running_a_warm_night_again_gives_equal_rows(
    nights: tuple[Lake, list[dict[str, Any]]], warmed: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert run(nights[0], tmp_path, WARM, day=NEXT) == warmed


@pytest.mark.slow
def test_nothing_after_the_cut_reaches_the_twin_through_its_start(
    spark: SparkSession, warmed: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Other events after the cut give another published model; only the published one starts from it."""
    lake = lake_with(spark, tmp_path / "lake")
    run(lake, tmp_path / "work")
    models = lake.read_rows(tables.MODELS, D).to_pylist()
    run(lake, tmp_path / "work", "train.seed=2")
    others = lake.read_rows(tables.MODELS, D).to_pylist()
    mixed = [row for row in models if row["role"] == "twin"] + [r for r in others if r["role"] == "published"]
    lake.write_rows(tables.MODELS, D, mixed)
    write_night(spark, lake, NEXT, NUM_USERS, 2)
    published, twin = run(lake, tmp_path / "work", WARM, day=NEXT)
    assert twin["version"] == warmed[1]["version"]
    assert published["version"] != warmed[0]["version"]


def test_a_start_that_knows_events_after_the_cut_is_refused(
    nights: tuple[Lake, list[dict[str, Any]]], tmp_path: Path
) -> None:
    with pytest.raises(
        TrainingError, match=r"warm start of the twin model: .* learnt from events up to 2024-02-17"
    ):
        run(nights[0], tmp_path, WARM, "split.test_days=9", day=NEXT)


@pytest.mark.parametrize(
    ("option", "fault"),
    [
        ("self_attention.embedding_dim=8", "has embedding_dim 16, now 8"),
        ("self_attention.optimizer=adagrad", "has optimizer adam, now adagrad"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(
    nights: tuple[Lake, list[dict[str, Any]]], tmp_path: Path, option: str, fault: str
) -> None:
    with pytest.raises(TrainingError, match=f"{fault}; set train.warm_start to false for one night"):
        run(nights[0], tmp_path, WARM, option, day=NEXT)


def test_a_start_on_other_item_numbers_is_refused(
    nights: tuple[Lake, list[dict[str, Any]]], tmp_path: Path
) -> None:
    lake = nights[0]
    ids = [(idx, f"other{idx}") for idx in range(2, 16)]
    earlier = Earlier(lake.read_rows(tables.MODELS), NEXT, ids, lake.get_model)
    end = AT.replace(tzinfo=dt.UTC) + dt.timedelta(days=90)
    lesson = Lesson([], None, pa.table({}), Columns([], [], []), end)
    with pytest.raises(TrainingError, match="its 14 item numbers are not a prefix of item_index"):
        warm.start(earlier, "self_attention", "twin", lesson)
    assert warm.start(earlier, "another_network", "twin", lesson) is None


def test_a_start_without_the_state_of_its_training_is_refused(
    nights: tuple[Lake, list[dict[str, Any]]], tmp_path: Path
) -> None:
    lake = nights[0]
    rows = lake.read_rows(tables.MODELS)
    bare = rows.drop_columns("state_files").append_column(
        "state_files", pa.nulls(len(rows), rows["state_files"].type)
    )
    earlier = Earlier(bare, NEXT, [(idx, f"i{idx}") for idx in range(2, 16)], lake.get_model)
    end = AT.replace(tzinfo=dt.UTC) + dt.timedelta(days=90)
    lesson = Lesson([], None, pa.table({}), Columns([], [], []), end)
    with pytest.raises(TrainingError, match="was stored without the optimizer's state; set train.warm_start"):
        warm.start(earlier, "self_attention", "twin", lesson)


def test_without_an_earlier_model_the_start_is_cold(spark: SparkSession, tmp_path: Path) -> None:
    [_, twin] = run(lake_with(spark, tmp_path / "lake"), tmp_path / "work", WARM, "self_attention.epochs=1")
    assert "cold_start" in manifest(twin)
    assert "warm_start" not in manifest(twin)


def test_rows_keep_their_places_features_go_by_name_and_new_rows_keep_their_start() -> None:
    def network(num_items: int, num_features: int, seed: int) -> SelfAttention:
        counts = np.array([0, 0] + [3] * (num_items - 2))
        items = Items(counts, np.ones((num_items, num_features), np.float32))
        return SelfAttention(Settings(num_items, 4, 1, 8, 1, 2, 0.0, 0), items, seed)

    before, now, fresh = network(5, 3, 1), network(7, 2, 2), network(7, 2, 2)
    was, is_ = (optimizer("adagrad", 0.1, n.trainable_variables) for n in (before, now))
    for slot in was.variables:
        slot.assign_add(slot * 0 + 1)
    earlier = warm.Start(
        "v" * 64,
        D,
        before.settings._asdict(),
        {name: np.asarray(variable) for name, variable in named(before).items()},
        {name: np.asarray(slot) for name, slot in warm.slots_of(was, before).items()},
        {"feature_names": ["price", "age", "gone"], "optimizer": "adagrad"},
    )
    warm.apply(earlier, now, is_, "adagrad", ["age", "new"])
    old, new, start = (named(network) for network in (before, now, fresh))
    np.testing.assert_array_equal(new["item_embedding"][:5], old["item_embedding"])
    np.testing.assert_array_equal(new["item_embedding"][5:], start["item_embedding"][5:])
    np.testing.assert_array_equal(new["feature_projection"][0], old["feature_projection"][1])
    np.testing.assert_array_equal(new["feature_projection"][1], start["feature_projection"][1])
    slots = warm.slots_of(is_, now)
    np.testing.assert_allclose(slots["item_bias.0"], [1.1] * 5 + [0.1] * 2, rtol=1e-5)
    np.testing.assert_allclose(slots["feature_projection.0"][:, 0], [1.1, 0.1], rtol=1e-5)
    assert int(slots["steps"]) == 1
