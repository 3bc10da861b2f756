"""The softmax of a step over the target and some negatives: its cost does not depend on the vocabulary.

An item that stands in the user's window is a known positive and never a negative for that window.

Shapes: B windows of W events, M targets, N negatives, G targets of all workers, V items, D their vectors' size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from recsys_spark.errors import SettingsError
from recsys_spark.networks import draws, losses
from recsys_spark.networks.targets import Targets

POWER = 0.75  # negatives by popularity come by events^0.75, as in word2vec

Gather = Callable[[Any, Any], tuple[Any, Any, Any]]
Vectors = Callable[[Any], Any]
Softmax = Callable[[Any, Vectors, Targets, Any, Gather], losses.Sums]


def alone(vectors: Any, items: Any) -> tuple[Any, Any, int]:
    """The `gather` of one worker: its own targets are all there are."""
    return vectors, items, 0


def softmax(kind: str, num: int, item_counts: npt.NDArray[np.int64]) -> Softmax | None:
    """The loss of a step; None when it is the softmax over all items.

    What is returned takes the users' vectors [M, D], a function from item numbers to their vectors
    (biases as the last dimension), the targets, the step's key and a `gather`.

    Args:
        kind: uniform, popularity or in_batch.
        num: N; 0, or no fewer than the trained items, is all items, unless in_batch.
        item_counts: [V], training events of each item.

    Raises:
        SettingsError: another kind.
    """
    if kind == "in_batch":
        return partial(_in_batch, draws.log_shares(item_counts))
    if kind not in ("uniform", "popularity"):
        raise SettingsError(
            f"setting self_attention.negatives: expected uniform, popularity or in_batch, got {kind}"
        )
    if not 0 < num < np.count_nonzero(item_counts):
        return None
    if kind == "uniform":
        return partial(_sampled, partial(draws.uniform, draws.trained(item_counts), num))
    return partial(_sampled, partial(draws.by_popularity, draws.shares(item_counts, POWER), num))


def _sampled(
    draw: Callable[[Any], tuple[Any, Any]],
    users: Any,
    vectors: Vectors,
    targets: Targets,
    key: Any,
    gather: Gather,
) -> losses.Sums:
    """Negatives are drawn, and shared by all targets of this worker."""
    negatives, log_q = draw(key)  # [N]
    is_hit = tf.gather(is_known(targets.windows, negatives), targets.window)  # [M, N]; the target is one
    own = tf.reduce_sum(users * vectors(targets.items), axis=1)  # [M]
    others = tf.matmul(users, vectors(negatives), transpose_b=True)  # [M, N]
    log_counts = tf.math.log(tf.cast(tf.size(negatives), tf.float32)) + log_q
    return losses.sampled_softmax(own, others, log_counts, is_hit, targets.weights)


def _in_batch(
    log_shares: Any, users: Any, vectors: Vectors, targets: Targets, key: Any, gather: Gather
) -> losses.Sums:
    """Negatives are the targets of the other windows, of all workers; nothing is drawn."""
    all_vectors, items, first = gather(vectors(targets.items), targets.items)  # [G, D], [G]
    return losses.in_batch_softmax(
        users,
        all_vectors,
        first + tf.range(tf.shape(targets.items)[0]),
        items,
        tf.gather(log_shares, items),
        targets.weights,
        tf.gather(is_known(targets.windows, items), targets.window),
        targets.num_in_window,
    )


def is_known(windows: Any, items: Any) -> Any:
    """bool [B, N]: whether each of the `items` [N] stands in a window [B, W]; no [B, W, N] is made."""
    ordered = tf.sort(windows, axis=1)
    wanted = tf.tile(items[None, :], [tf.shape(windows)[0], 1])
    places = tf.minimum(tf.searchsorted(ordered, wanted), tf.shape(windows)[1] - 1)
    return tf.equal(tf.gather(ordered, places, batch_dims=1), wanted)
