"""The job with two workers: a Spark barrier stage, a real process each, and clear lines when it cannot run."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession
from test_train_job import D, OPTIONS, job, lake_with

from recsys_spark import cli, config, tables
from recsys_spark.errors import SettingsError
from recsys_spark.lake import Lake
from recsys_spark.models import artifacts, self_attention


@pytest.fixture(scope="module")
def root(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    lake_with(spark, root)
    return root


def train(spark: SparkSession, root: Path, work_dir: Path, *options: str) -> cli.Outcome:
    given = [f"lake.root={root}", f"train.work_dir={work_dir}", *(f"train.{option}" for option in options)]
    return cli.execute("train", job.run, config.load(options=[*OPTIONS, *given]), D, lambda: spark)


@pytest.mark.slow
@pytest.mark.parametrize("options", [("negatives=in_batch",), ("num_negatives=6", "mixed_precision=true")])
def test_two_workers_write_both_models_and_scoring_loads_them(
    spark: SparkSession, root: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    outcome = train(spark, root, tmp_path, "num_workers=2", *options)
    assert (outcome.exit_status, outcome.message) == (0, None)
    lake = Lake(str(root))
    published, twin = sorted(lake.read_rows(tables.MODELS, D).to_pylist(), key=lambda row: row["role"])
    for row in (published, twin):
        manifest = json.loads(row["manifest"])
        assert (manifest["num_workers"], manifest["rows_per_epoch"]) == (2, 60)
        folder = lake.get_model(row["version"])
        artifacts.verify(folder, dict(row["files"]))
        histories = {name: np.ones((3, 4), np.int32) for name in ("items", "types", "gaps")}
        histories |= {name: np.ones((3, 4), np.float32) for name in ("values", "weights")}
        assert np.isfinite(self_attention.load_encoder(folder, 1)(histories)).all()
    log = json.loads(twin["manifest"])["log"]
    assert max(entry["ndcg"] for entry in log) > 0.6  # 0.49 by chance
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
