"""Train the network for a number of epochs, or until validation NDCG no longer rises."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from recsys_spark.errors import TrainingError
from recsys_spark.models import draws
from recsys_spark.models.self_attention_network import SelfAttention
from recsys_spark.training import checkpoints
from recsys_spark.training.feed import Feed

log = logging.getLogger(__name__)

Judge = Callable[[], float]


class Fitted(NamedTuple):
    """What training did; the network holds the weights of epoch `epochs`.

    Attributes:
        epochs: the epoch with the best NDCG, or the last one when none was judged; counts from 1.
        log: per epoch: epoch, loss, and ndcg when judged.
        rows_per_epoch: rows the feed delivered, equal to the table's.
    """

    epochs: int
    log: list[dict[str, float]]
    rows_per_epoch: int


def fit(
    network: SelfAttention,
    feed: Feed,
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    checkpoint: Path,
    judge: Judge | None = None,
    patience: int = 0,
) -> Fitted:
    """Train with Adam. Each epoch ends in a checkpoint, from which a killed run goes on.

    Args:
        network: with its initial weights; changed in place.
        epochs: at most, with `judge`; else exactly.
        checkpoint: a file of its own for these data and settings; deleted at the end.
        judge: NDCG of the network as it is; None: every epoch is trained.
        patience: epochs without a better NDCG after which training stops.

    Raises:
        TrainingError: the loss is not finite, or rows were lost.
    """
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(network.trainable_variables)
    step = _step_function(network, optimizer)
    best, history = _resume(checkpoint, network, optimizer)
    while len(history) < epochs and not _is_over(history, patience if judge else 0):
        began, epoch = time.monotonic(), len(history) + 1
        entry: dict[str, float] = {"epoch": epoch, "loss": _train_epoch(step, feed, epoch, seed)}
        if judge:
            entry["ndcg"] = judge()
        history.append(entry)
        if not judge or _best(history) == epoch:
            best = [np.asarray(variable) for variable in network.trainable_variables]
        _save(checkpoint, network, optimizer, best, history)
        facts = " ".join(f"{name}={value:.5g}" for name, value in entry.items())
        log.info("epoch_done %s rows=%d seconds=%.1f", facts, feed.num_rows, time.monotonic() - began)
    for variable, value in zip(network.trainable_variables, best, strict=True):
        variable.assign(value)
    checkpoint.unlink(missing_ok=True)
    return Fitted(_best(history) if judge else len(history), history, feed.num_rows)


def _step_function(network: SelfAttention, optimizer: Any) -> Callable[[Mapping[str, Any], Any], Any]:
    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(batch: Mapping[str, Any], key: Any) -> Any:
        with tf.GradientTape() as tape:
            losses, weights = network.loss_sums(batch, key)
            loss = tf.math.divide_no_nan(losses, weights)
        gradients = tape.gradient(loss, network.trainable_variables)
        # Dense: Adam must see the sum of the gradients of an item that occurs twice in the batch.
        optimizer.apply([tf.convert_to_tensor(g) for g in gradients], network.trainable_variables)
        return tf.stack([losses, weights])

    return step  # type: ignore[no-any-return]


def _train_epoch(step: Callable[[Mapping[str, Any], Any], Any], feed: Feed, epoch: int, seed: int) -> float:
    total = np.zeros(2)
    num_steps = math.ceil(feed.num_rows / feed.batch_size)
    batches = tqdm(
        feed.batches(epoch), f"epoch {epoch}", num_steps, leave=False, disable=not sys.stderr.isatty()
    )
    for number, batch in enumerate(batches):
        key = draws.key(seed, epoch, number)
        sums = step(batch, key).numpy()
        if not np.isfinite(sums).all():
            raise TrainingError(
                f"epoch {epoch} step {number}: loss is {sums[0]}; lower train.learning_rate or look for "
                "values out of range in sequence_examples"
            )
        total += sums
    if not total[1]:
        raise TrainingError(
            f"epoch {epoch}: no event to predict in {feed.num_rows} windows; run build_features"
        )
    return float(total[0] / total[1])


def _best(history: list[dict[str, float]]) -> int:
    """The first epoch with the highest NDCG."""
    return 1 + int(np.argmax([entry["ndcg"] for entry in history]))


def _is_over(history: list[dict[str, float]], patience: int) -> bool:
    return bool(history) and patience > 0 and len(history) - _best(history) >= patience


def _save(
    path: Path,
    network: SelfAttention,
    optimizer: Any,
    best: list[npt.NDArray[Any]],
    history: list[dict[str, float]],
) -> None:
    variables = [*network.trainable_variables, *optimizer.variables]
    arrays = {f"now.{i}": np.asarray(variable) for i, variable in enumerate(variables)}
    arrays |= {f"best.{i}": value for i, value in enumerate(best)}
    checkpoints.save(path, arrays, {"history": history})


def _resume(
    path: Path, network: SelfAttention, optimizer: Any
) -> tuple[list[npt.NDArray[Any]], list[dict[str, float]]]:
    found = checkpoints.load(path)
    if found is None:
        return [np.asarray(variable) for variable in network.trainable_variables], []
    arrays, state = found
    for i, variable in enumerate([*network.trainable_variables, *optimizer.variables]):
        variable.assign(arrays[f"now.{i}"])
    log.info("training_resumed epochs_done=%d checkpoint=%s", len(state["history"]), path)
    return [arrays[f"best.{i}"] for i in range(len(network.trainable_variables))], state["history"]
