"""One worker of a test's training, as a process: `python one_worker.py TASKS`, with TF_CONFIG set.

TASKS is a JSON file with a list of trainings; each leaves its weights as `<out>-<worker>.npz`, together with
the shapes of what it sent to the other worker.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from recsys_spark.errors import TrainingError
from recsys_spark.models import self_attention as nets
from recsys_spark.networks import draws, losses, targets
from recsys_spark.networks.network import Items, named
from recsys_spark.tables import DataFile
from recsys_spark.training.columns import ColumnType
from recsys_spark.training.feed import Feed

V, W, LEARNING_RATE, SEED, EPOCHS = 97, 6, 0.05, 1, 3
COUNTS = np.array([0, 0, *range(3, V + 1)])
ITEMS = Items(COUNTS, np.random.default_rng(3).normal(size=(V, 2)).astype(np.float32))
COLUMNS = {
    name: ColumnType("float32" if name in ("values", "weights") else "int32", W)
    for name in ("items", "types", "values", "gaps", "weights", "mask")
}


@dataclass
class KillingFeed(Feed):
    """A feed that ends its own process by SIGKILL before it delivers batch number `kill_at`, from 0 on."""

    kill_at: int | None = None

    def batches(self, epoch: int, first_step: int = 0, *, drop_remainder: bool = False) -> Iterator[Any]:
        for step, batch in enumerate(super().batches(epoch, first_step), first_step):
            if (epoch - 1) * self.num_steps + step == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch


def write(path: Path, num: int = 42) -> None:
    """Windows of uneven length and weight, so that workers have unequal numbers of targets."""
    rng = np.random.default_rng(0)
    is_event = np.arange(W) >= rng.integers(0, W - 1, (num, 1))
    items = np.where(is_event, rng.integers(2, V, (num, W)), 0)
    arrays = {"items": items, "types": is_event, "values": items % 5, "gaps": items * 60}
    arrays |= {"weights": is_event * rng.uniform(0.5, 2, (num, W)), "mask": is_event & (np.arange(W) > 0)}
    lists = {
        name: pa.array(
            list(array.astype(COLUMNS[name].dtype)), pa.list_(pa.from_numpy_dtype(COLUMNS[name].dtype))
        )
        for name, array in arrays.items()
    }
    pq.write_table(pa.table(lists), path, row_group_size=10)


def feed(path: Path, worker: int, kill_at: int | None = None) -> Feed:
    """Three steps an epoch, the last of them smaller."""
    rows = pq.ParquetFile(path).metadata
    groups = tuple(rows.row_group(i).num_rows for i in range(rows.num_row_groups))
    file = DataFile(path.as_uri(), groups)
    return KillingFeed([file], COLUMNS, 8, SEED, worker=worker, num_workers=2, kill_at=kill_at)


class Pointwise(nets.SelfAttention):  # type: ignore[misc]
    """The network with a loss of single scores: each target, and one drawn item for each."""

    def loss_sums(self, batch: Any, key: Any = None, gather: Any = None) -> tuple[Any, Any]:
        before = {name: batch[name][:, :-1] for name in nets.INPUTS}
        found = targets.select(batch, tf.ones_like(before["items"], tf.bool))
        states = self.states(self.item_rows(before["items"]), before, key)
        users = tf.gather(tf.reshape(states, [-1, 8]), found.places)
        drawn, _ = draws.uniform(draws.trained(COUNTS), tf.size(found.items), key)
        vectors = self._vectors(tf.concat([found.items, drawn], 0))
        scores = tf.reduce_sum(tf.tile(users, [2, 1]) * vectors[:, :-1], axis=1) + vectors[:, -1]
        labels = tf.concat([tf.ones_like(found.weights), tf.zeros_like(found.weights)], 0)
        return losses.pointwise_logistic(scores, labels, tf.tile(found.weights, [2]))


def network(negatives: str, num_negatives: int) -> nets.SelfAttention:
    if negatives == "pointwise":
        return Pointwise(nets.Settings(V, W - 1, 1, 8, 1, 2, 0.0, 0), ITEMS, SEED)
    settings = nets.Settings(V, W - 1, 1, 8, 1, 2, 0.0, num_negatives, negatives)
    return nets.SelfAttention(settings, ITEMS, SEED)


def main(tasks: list[dict[str, Any]]) -> None:
    from recsys_spark.training.cluster import join
    from recsys_spark.training.fit import fit
    from recsys_spark.training.optimizers import optimizer

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    cluster = join()
    for task in tasks:
        sent: list[list[int | None]] = []

        def seen(call: Any, sent: Any = sent) -> Any:
            def calling(tensors: Any) -> Any:
                sent.extend(tensor.shape.as_list() for tensor in tf.nest.flatten(tensors))
                return call(tensors)

            return calling

        watched = cluster._replace(add_up=seen(cluster.add_up), gather=seen(cluster.gather))
        net = network(task["negatives"], task["num_negatives"])
        fit(
            net,
            feed(Path(task["data"]), cluster.worker, task.get("kill_at", {}).get(str(cluster.worker))),
            optimizer(task["optimizer"], LEARNING_RATE, net.trainable_variables),
            epochs=EPOCHS,
            seed=SEED,
            checkpoint=Path(task["checkpoint"]),
            identity={"data": "1" * 64},
            checkpoint_steps=1,
            cluster=watched,
        )
        weights = {name: np.asarray(variable) for name, variable in named(net).items()}
        np.savez(f"{task['out']}-{cluster.worker}.npz", sent=json.dumps(sent), **weights)
    cluster.from_chief(float)


if __name__ == "__main__":
    try:
        main(json.loads(Path(sys.argv[1]).read_text()))
    except TrainingError as error:
        sys.stdout.write(f"{error}\n")
        sys.exit(error.exit_status)
