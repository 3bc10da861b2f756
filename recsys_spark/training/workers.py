"""Train on several workers: a Spark barrier stage with one task a worker, each with a process of its own.

A task is a Python process that Spark reuses and forks, and TensorFlow does not survive a fork; so the task
starts a fresh interpreter, hands it the work, and hands back what came out of it.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pyspark import BarrierTaskContext, SparkContext
from pyspark.sql import SparkSession

from recsys_spark.errors import RecsysError, SettingsError, TrainingError
from recsys_spark.training.worker_process import Work

SECONDS_FOR_SLOTS = 60.0  # how long the executors of a new application may take to come


def train(spark: SparkSession, num_workers: int, work: Work) -> list[dict[str, Any]]:
    """What `worker_process.train` returns on the chief; its `keep` was called there.

    Raises:
        SettingsError: Spark cannot run so many tasks at once.
        TrainingError: as `worker_process.train`. That a worker was killed comes as Spark's error, which holds the
            TrainingError's line.
        BadDataError: as `worker_process.train`.
    """
    context = spark.sparkContext
    _check_slots(context, num_workers)
    tasks = context.parallelize(range(num_workers), num_workers).barrier()
    outcomes = tasks.mapPartitions(partial(_task, pickle.dumps(work))).collect()
    # Who met another error than "worker n is gone" was the first to end.
    errors = [outcome for outcome in outcomes if isinstance(outcome, RecsysError)]
    if errors:
        raise min(errors, key=lambda error: " is gone, " in str(error))
    return next(rows for rows in outcomes if rows)


def _check_slots(context: SparkContext, num_workers: int) -> None:
    """Spark itself would ask again for ten minutes."""
    where = f"train.num_workers is {num_workers}"
    if context.getConf().get("spark.dynamicAllocation.enabled", "false") == "true":
        raise SettingsError(
            f"{where}: Spark starts tasks together only on a fixed number of executors; set "
            "spark.dynamicAllocation.enabled to false, or train.num_workers to 1"
        )
    jvm = context._jsc.sc()
    profile = jvm.resourceProfileManager().defaultResourceProfile()
    patience = 0.0 if str(context.master).startswith("local") else SECONDS_FOR_SLOTS
    deadline = time.monotonic() + patience
    while (slots := jvm.maxNumConcurrentTasks(profile)) < num_workers:
        if time.monotonic() > deadline:
            raise SettingsError(
                f"{where}: each worker needs a task slot, and Spark has {slots}; give it more cores or "
                f"executors, or set train.num_workers to at most {slots}"
            )
        time.sleep(1)


def _task(work: bytes, _: Iterable[int]) -> Iterator[Any]:
    """Rows on the chief, nothing on the others, or a RecsysError; a crash is raised, for Spark to try again."""
    context = BarrierTaskContext.get()
    worker = context.partitionId()
    host = context.getTaskInfos()[worker].address.rsplit(":", 1)[0]
    with socket.socket() as held:
        held.bind(("", 0))
        addresses = context.allGather(f"{host}:{held.getsockname()[1]}")
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": worker}}
    env = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
    env |= {"TF_CONFIG": json.dumps(config), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if gpu := context.resources().get("gpu"):
        env["CUDA_VISIBLE_DEVICES"] = gpu.addresses[0]
    status, outcome = run(work, env)
    if outcome is None:
        how = f"was killed by signal {-status}" if status < 0 else f"crashed with status {status}"
        raise TrainingError(
            f"worker {worker} of {len(addresses)} on {host} {how}; look into its log and run again: training "
            "goes on from its last checkpoint"
        )
    yield outcome


def run(work: bytes, env: dict[str, str]) -> tuple[int, Any]:
    """A worker's exit status, negative for a signal, and its outcome; None when it left none."""
    with tempfile.TemporaryDirectory() as folder:
        work_file, outcome_file = Path(folder, "work"), Path(folder, "outcome")
        work_file.write_bytes(work)
        command = [
            sys.executable,
            "-m",
            "recsys_spark.training.worker_process",
            str(work_file),
            str(outcome_file),
        ]
        # A temporary folder of its own: workers on one machine may fetch the same model.
        with subprocess.Popen(command, env={**env, "TMPDIR": folder}, stdin=subprocess.PIPE) as process:
            status = process.wait()
        return status, pickle.loads(outcome_file.read_bytes()) if outcome_file.is_file() else None
