"""Train the network for a number of epochs, or until validation NDCG no longer rises."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys_spark.errors import TrainingError
from recsys_spark.networks import draws
from recsys_spark.networks.network import Network
from recsys_spark.training import checkpoints
from recsys_spark.training.cluster import ALONE, Cluster, check_same_start
from recsys_spark.training.feed import Feed
from recsys_spark.training.optimizers import Optimizer
from recsys_spark.training.step import step_function
from recsys_spark.training.watch import Speed, Watch

log = logging.getLogger(__name__)

Judge = Callable[[], float]


class Fitted(NamedTuple):
    """What training did; the network holds the weights of epoch `epochs`.

    Attributes:
        epochs: the epoch with the best NDCG, or the last one when none was judged; counts from 1.
        log: per epoch: epoch, loss, and ndcg when judged.
        rows_per_epoch: rows the feeds of all workers delivered; at most W - 1 below the table's.
        start_ndcg: before the first step; None when not judged.
        speed: of the epochs trained by this process.
    """

    epochs: int
    log: list[dict[str, float]]
    rows_per_epoch: int
    start_ndcg: float | None
    speed: Speed


@dataclass
class _State:
    """Where training stands: what a checkpoint holds beside the variables."""

    step: int = 0  # of the epoch after the last one in `log`: the next one to take
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])  # losses and weights of its steps so far
    log: list[dict[str, float]] = field(default_factory=list)
    start_ndcg: float | None = None


def fit(
    network: Network,
    feed: Feed,
    optimizer: Optimizer,
    *,
    epochs: int,
    seed: int,
    checkpoint: Path,
    identity: Mapping[str, str],
    checkpoint_steps: int = 0,
    judge: Judge | None = None,
    patience: int = 0,
    cluster: Cluster = ALONE,
    log_dir: Path | None = None,
) -> Fitted:
    """Train; a killed run goes on from the last checkpoint with the batches that it would have seen.

    Args:
        network: with its initial weights; changed in place.
        optimizer: of the network's trainable variables, in their order.
        epochs: at most, with `judge`; else exactly.
        checkpoint: the file of this training, the same one for all workers; deleted at the end.
        identity: hashes of data and settings; a checkpoint with others is refused.
        checkpoint_steps: steps between checkpoints; 0: only at the end of each epoch.
        judge: NDCG of the network as it is; None: every epoch is trained.
        patience: epochs without a better NDCG after which training stops.
        log_dir: where TensorBoard looks; None: nothing is written.

    Raises:
        TrainingError: the loss is not finite, rows were lost, a worker is gone, or the checkpoint is of
            another training.
        BadDataError: a file of the table or the checkpoint cannot be read.
    """
    step = step_function(network, optimizer, cluster, feed.columns)
    variables = [*(v.value for v in network.trainable_variables), *optimizer.variables]
    state, best = _resume(checkpoint, identity, variables, len(network.trainable_variables))
    check_same_start(cluster, len(state.log), state.step)

    def save() -> None:
        if cluster.is_chief:
            arrays = {f"now.{i}": np.asarray(variable) for i, variable in enumerate(variables)}
            arrays |= {f"best.{i}": value for i, value in enumerate(best)}
            checkpoints.save(checkpoint, arrays, asdict(state), identity)

    if judge and state.start_ndcg is None:
        state.start_ndcg = cluster.from_chief(judge)
    with Watch(feed, log_dir if cluster.is_chief else None) as watch:
        while len(state.log) < epochs and not _is_over(state.log, patience if judge else 0):
            began, epoch = time.monotonic(), len(state.log) + 1
            for number, batch in watch.batches(epoch, state.step):
                key = draws.key(seed, epoch, number, feed.worker)
                sums = step(batch, key).numpy()
                if not np.isfinite(sums).all():
                    raise _not_finite(epoch, number, float(sums[0]))
                state.step = number + 1
                state.sums = [a + float(b) for a, b in zip(state.sums, sums, strict=True)]
                watch.stepped(state.sums)
                if checkpoint_steps and state.step % checkpoint_steps == 0 and state.step < feed.num_steps:
                    save()
            if not state.sums[1]:
                raise TrainingError(
                    f"epoch {epoch}: no event to predict in {feed.num_rows} windows; run build_features"
                )
            entry: dict[str, float] = {"epoch": epoch, "loss": state.sums[0] / state.sums[1]}
            if judge:
                entry["ndcg"] = cluster.from_chief(judge)
            state.log.append(entry)
            state.step, state.sums = 0, [0.0, 0.0]
            if judge and _best(state.log) == epoch:
                best = [np.asarray(variable) for variable in network.trainable_variables]
            save()
            watch.epoch_done(entry)
            facts = " ".join(f"{name}={value:.5g}" for name, value in entry.items())
            log.info(
                "epoch_done %s rows=%d seconds=%.1f", facts, feed.rows_per_epoch, time.monotonic() - began
            )
    if best:  # else no epoch was judged, and the last weights stay
        for variable, value in zip(network.trainable_variables, best, strict=True):
            variable.assign(value)
    if cluster.is_chief:
        checkpoint.unlink(missing_ok=True)
    done = _best(state.log) if judge else len(state.log)
    rows = feed.rows_per_epoch * feed.num_workers
    return Fitted(done, state.log, rows, state.start_ndcg, watch.speed())


def _resume(
    path: Path, identity: Mapping[str, str], variables: list[Any], num_trained: int
) -> tuple[_State, list[npt.NDArray[Any]]]:
    """The state to go on from, and the best weights so far: none without a judged epoch."""
    stored = checkpoints.load(path, identity)
    if stored is None:
        return _State(), []
    arrays, saved = stored
    for i, variable in enumerate(variables):
        variable.assign(arrays[f"now.{i}"])
    state = _State(**saved)
    log.info("training_resumed epochs_done=%d step=%d checkpoint=%s", len(state.log), state.step, path)
    return state, [arrays[f"best.{i}"] for i in range(num_trained) if f"best.{i}" in arrays]


def _best(epochs: list[dict[str, float]]) -> int:
    """The first epoch with the highest NDCG."""
    return 1 + int(np.argmax([entry["ndcg"] for entry in epochs]))


def _is_over(epochs: list[dict[str, float]], patience: int) -> bool:
    return bool(epochs) and patience > 0 and len(epochs) - _best(epochs) >= patience


def _not_finite(epoch: int, step: int, loss: float) -> TrainingError:
    return TrainingError(
        f"epoch {epoch} step {step}: loss is {loss}; lower self_attention.learning_rate or look for values out of "
        "range in sequence_examples"
    )
