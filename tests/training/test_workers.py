"""The job with two workers: a Spark barrier stage, a real process each, and clear lines when it cannot run."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession
from test_train_job import OPTIONS, D, job, lake_with

from recsys_spark import cli, config, tables
from recsys_spark.forms import folder as folders
from recsys_spark.lake import Lake
from recsys_spark.models import self_attention

IN_BATCH = (
    "train.num_workers=2",
    "train.checkpoint_steps=1",
    "self_attention.batch_size=16",
    "self_attention.negatives=in_batch",
)


@pytest.fixture(scope="module")
def root(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    lake_with(spark, root)
    return root


def train(spark: SparkSession, root: Path, work_dir: Path, *options: str) -> cli.Outcome:
    settings = config.load(options=[*OPTIONS, f"lake.root={root}", f"train.work_dir={work_dir}", *options])
    return cli.execute("train", job.run, settings, D, lambda: spark)


def rows(root: Path) -> list[dict[str, Any]]:
    return sorted(Lake(str(root)).read_rows(tables.MODELS, D).to_pylist(), key=lambda row: str(row["role"]))


@pytest.fixture(scope="module")
def models(spark: SparkSession, root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    work_dir = tmp_path_factory.mktemp("work")
    outcome = train(spark, root, work_dir, *IN_BATCH)
    assert (outcome.exit_status, outcome.message) == (0, None)
    assert not [path for path in work_dir.rglob("*") if path.is_file()]
    return rows(root)


@pytest.mark.slow
def test_two_workers_write_both_models_and_scoring_loads_them(
    root: Path, models: list[dict[str, Any]]
) -> None:
    assert [row["role"] for row in models] == ["published", "twin"]
    for row in models:
        manifest = json.loads(row["manifest"])
        assert (manifest["num_workers"], manifest["rows_per_epoch"]) == (2, 60)
        folder = Lake(str(root)).get_model(row["version"])
        folders.verify(folder, dict(row["files"]))
        histories: dict[str, Any] = {n: np.ones((3, 4), np.int32) for n in ("items", "types", "gaps")}
        histories |= {name: np.ones((3, 4), np.float32) for name in ("values", "weights")}
        assert np.isfinite(self_attention.encoder(folder, 1)(histories)).all()
    log = json.loads(models[1]["manifest"])["log"]
    assert max(entry["ndcg"] for entry in log) > 0.6  # 0.49 by chance


@pytest.mark.slow
def test_a_killed_worker_ends_the_job_with_a_line_and_the_next_try_makes_the_same_models(
    spark: SparkSession, root: Path, models: list[dict[str, Any]], tmp_path: Path
) -> None:
    ended: list[float] = []

    def kill_one_at_the_first_checkpoint() -> None:
        while not list(tmp_path.rglob("*.safetensors")):
            time.sleep(0.01)
        os.kill(worker_process(1), signal.SIGKILL)
        ended.append(time.monotonic())

    killer = threading.Thread(target=kill_one_at_the_first_checkpoint, daemon=True)
    killer.start()
    outcome = train(spark, root, tmp_path, *IN_BATCH)
    killer.join(10)
    assert time.monotonic() - ended[0] < 30
    assert outcome.exit_status == 13
    message = str(outcome.message)
    assert "worker 1 of 2 on 127.0.0.1 was killed by signal 9" in message or "worker 1 is gone" in message
    assert "run again" in message
    assert list(tmp_path.rglob("*.safetensors"))
    assert train(spark, root, tmp_path, *IN_BATCH).exit_status == 0
    assert rows(root) == models


def worker_process(worker: int) -> int:
    """The id of the process, below this one, that trains as this worker."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, env = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
            ours = os.getpid() in ancestors(int(folder.name))
        except OSError:  # it has ended
            continue
        if (
            b"recsys_spark.training.worker_process" in command
            and f'"index": {worker}}}'.encode() in env
            and ours
        ):
            return int(folder.name)
    raise LookupError(f"no process of worker {worker}")


def ancestors(process: int) -> set[int]:
    found: set[int] = set()
    while process > 1:
        process = int(Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1].split()[1])
        found.add(process)
    return found


def test_fewer_slots_than_workers_is_told_at_once(spark: SparkSession, root: Path, tmp_path: Path) -> None:
    clock = time.monotonic()
    outcome = train(spark, root, tmp_path, "train.num_workers=3")
    assert time.monotonic() - clock < 10
    assert outcome.exit_status == 10
    assert outcome.message == (
        "train.num_workers is 3: each worker needs a task slot, and Spark has 2; give it more cores or executors, "
        "or set train.num_workers to at most 2"
    )
