"""Two workers, as processes of their own, take the steps that one with both their batches would take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import one_worker
import ports
import pytest
import tensorflow as tf
from one_worker import EPOCHS, LEARNING_RATE, SEED, V

from recsys_spark.models import self_attention as nets
from recsys_spark.networks import draws, targets
from recsys_spark.networks.network import named

pytestmark = pytest.mark.slow

LOSSES = {"pointwise": ("pointwise", 0), "sampled": ("uniform", 9), "in_batch": ("in_batch", 0)}
CASES = [(loss, optimizer) for loss in LOSSES for optimizer in ("sgd", "adagrad")]
Weights = dict[str, np.ndarray]

_started: list[subprocess.Popen[str]] = []


@pytest.fixture(scope="module", autouse=True)
def nobody_left() -> Iterator[None]:
    """A worker whose partner never came waits for ever."""
    yield
    for worker in _started:
        worker.kill()
        worker.wait()


def start(folder: Path, tasks: list[dict[str, Any]]) -> list[subprocess.Popen[str]]:
    """Two workers that run the tasks."""
    addresses = [f"127.0.0.1:{port}" for port in ports.free(2)]
    (folder / "tasks.json").write_text(json.dumps(tasks))
    workers = [
        subprocess.Popen(
            [sys.executable, one_worker.__file__, str(folder / "tasks.json")],
            env={**os.environ, "TF_CONFIG": json.dumps(
                {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": worker}}
            ), "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for worker in range(2)
    ]  # fmt: skip
    _started.extend(workers)
    return workers


def task(folder: Path, name: str, loss: str, optimizer: str, **more: Any) -> dict[str, Any]:
    negatives, num_negatives = LOSSES[loss]
    places = {"data": str(folder / "part-0.parquet"), "out": str(folder / name)}
    places["checkpoint"] = str(folder / f"{name}.safetensors")
    return {**places, "negatives": negatives, "num_negatives": num_negatives, "optimizer": optimizer, **more}


def weights(folder: Path, name: str, worker: int) -> Weights:
    return dict(np.load(folder / f"{name}-{worker}.npz"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, and what two workers made of them in every case."""
    folder = tmp_path_factory.mktemp("two")
    one_worker.write(folder / "part-0.parquet")
    workers = start(
        folder, [task(folder, f"{loss}-{optimizer}", loss, optimizer) for loss, optimizer in CASES]
    )
    assert [worker.wait(240) for worker in workers] == [0, 0]
    return folder


def of_one(folder: Path, loss: str, optimizer: str) -> nets.SelfAttention:
    """Both workers' batches and draws in one process, by Keras's optimizer on dense gradients."""
    net = one_worker.network(*LOSSES[loss])
    rule = {"sgd": keras.optimizers.SGD, "adagrad": keras.optimizers.Adagrad}[optimizer](LEARNING_RATE)
    rule.build(net.trainable_variables)
    feeds = [one_worker.feed(folder / "part-0.parquet", worker) for worker in range(2)]
    for epoch in range(1, EPOCHS + 1):
        both = zip(feeds[0].batches(epoch), feeds[1].batches(epoch), strict=True)
        for step, batches in enumerate(both):
            with tf.GradientTape() as tape:
                found = [targets.select(b, tf.fill(b["items"][:, 1:].shape, True)) for b in batches]
                nums = [len(f.items) for f in found]
                all_items = tf.concat([f.items for f in found], 0)
                all_vectors = net._vectors(all_items)
                losses, sums = 0.0, 0.0
                for worker, batch in enumerate(batches):

                    def gather(vectors: Any, items: Any, worker: int = worker) -> Any:
                        return all_vectors, all_items, sum(nums[:worker])  # noqa: B023

                    key = draws.key(SEED, epoch, step, worker)
                    own, weight = net.loss_sums(batch, key, gather)
                    losses, sums = losses + own, sums + weight
                loss_of_all = losses / sums
            gradients = tape.gradient(loss_of_all, net.trainable_variables)
            rule.apply([tf.convert_to_tensor(g) for g in gradients], net.trainable_variables)
            assert nums[0] != nums[1] or step != 0
    return net


@pytest.mark.parametrize(("loss", "optimizer"), CASES)
def test_two_workers_end_with_the_weights_of_one_with_both_batches(
    folder: Path, loss: str, optimizer: str
) -> None:
    expected = named(of_one(folder, loss, optimizer))
    before = named(one_worker.network(*LOSSES[loss]))
    for name, variable in expected.items():
        found = [weights(folder, f"{loss}-{optimizer}", worker)[name] for worker in range(2)]
        np.testing.assert_array_equal(found[0], found[1], err_msg=name)
        np.testing.assert_allclose(found[0], variable, rtol=0, atol=1e-5, err_msg=name)
        assert np.abs(variable - before[name]).max() > 1e-4, f"{name} has not been trained"


@pytest.mark.parametrize(("loss", "optimizer"), CASES)
def test_no_gradient_of_an_embedding_travels_dense(folder: Path, loss: str, optimizer: str) -> None:
    sent = json.loads(str(weights(folder, f"{loss}-{optimizer}", 0)["sent"]))
    assert [None, 8] in sent  # rows of the embedding
    assert not [shape for shape in sent if V in shape]


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_ends_the_other_and_the_next_try_goes_on(folder: Path, victim: int) -> None:
    name = f"killed-{victim}"
    killed = task(folder, name, "in_batch", "adagrad", kill_at={str(victim): 4})
    workers = start(folder, [killed])
    other = workers[1 - victim]
    assert workers[victim].wait(120) == -9
    clock = time.monotonic()
    line = other.communicate(timeout=60)[0].strip()
    assert time.monotonic() - clock < 30
    assert other.returncode == 13
    assert f"worker {1 - victim} of 2: worker {victim} is gone" in line
    assert len(line.splitlines()) == 1
    assert Path(killed["checkpoint"]).exists()
    assert not (folder / f"{name}-0.npz").exists()
    again = start(folder, [task(folder, name, "in_batch", "adagrad")])
    assert [worker.wait(120) for worker in again] == [0, 0]
    unbroken = weights(folder, "in_batch-adagrad", 0)
    for variable, array in weights(folder, name, 0).items():
        np.testing.assert_array_equal(array, unbroken[variable], err_msg=variable)
