"""What a training step draws at random: stateless, so a key gives the same draws in every process.

Each use in a step has a place of its own below 4096: 1 negatives, 10 to 19 augmentation, 1000 and above
dropout. Shapes: V items, T trained items, N negatives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

NEGATIVES = 1  # their place
ALGORITHM = "philox"  # the same bits on every device


class Shares(NamedTuple):
    """The trained items and the share of each in the draws.

    Attributes:
        items: int32 [T], item numbers.
        cumulative: float64 [T], ends at 1; float32 would never draw some of ten million items.
        log_share: float32 [T].
    """

    items: Any
    cumulative: Any
    log_share: Any


def key(seed: int, epoch: int, step: int, worker: int = 0) -> npt.NDArray[np.int64]:
    """[2] int64 that keys every draw of one step: another for other arguments.

    Raises:
        ValueError: an argument is out of range; it would share its draws with another.
    """
    limits = {
        "seed": (seed, 2**31),
        "epoch": (epoch, 2**31),
        "step": (step, 2**32),
        "worker": (worker, 2**20),
    }
    for name, (value, limit) in limits.items():
        if not 0 <= value < limit:
            raise ValueError(f"draws: {name}: expected 0 to below {limit}, got {value}")
    return np.array([(worker * 2**31 + seed) * 4096, epoch * 2**32 + step], np.int64)


def stream(key: Any, place: int) -> Any:
    """The seed of one random stream: [2] int64, another for each place and each key; None is the key 0."""
    return tf.constant([place, 0], tf.int64) + (tf.zeros([2], tf.int64) if key is None else key)


def numbers(shape: Any, key: Any, place: int, dtype: Any = tf.float32) -> Any:
    """Uniform in [0, 1)."""
    return tf.random.stateless_uniform(shape, stream(key, place), dtype=dtype, alg=ALGORITHM)


def trained(item_counts: npt.NDArray[np.int64]) -> Any:
    """int32 [T]: the numbers of the items with an event, from the events [V] of all."""
    return tf.constant(np.flatnonzero(item_counts > 0), tf.int32)


def shares(item_counts: npt.NDArray[np.int64], power: float) -> Shares:
    """Shares in proportion to events^power; items without an event have none.

    Args:
        item_counts: [V], training events of each item.
        power: 1 is popularity as it is, 0 is uniform.
    """
    items = np.flatnonzero(item_counts > 0)
    weights = item_counts[items].astype(np.float64) ** power
    cumulative = np.cumsum(weights)
    return Shares(
        tf.constant(items, tf.int32),
        tf.constant(cumulative / cumulative[-1], tf.float64),
        tf.constant(np.log(weights / cumulative[-1]), tf.float32),
    )


def uniform(items: Any, num: int, key: Any) -> tuple[Any, Any]:
    """`num` of the `items` [T], each as likely: int32 [N] and their log q, float32 [N]."""
    num_items = tf.size(items)
    places = tf.random.stateless_uniform(
        [num], stream(key, NEGATIVES), maxval=num_items, dtype=tf.int32, alg=ALGORITHM
    )
    return tf.gather(items, places), -tf.math.log(tf.cast(tf.fill([num], num_items), tf.float32))


def by_popularity(shares: Shares, num: int, key: Any) -> tuple[Any, Any]:
    """`num` items drawn by their shares: int32 [N] and their log q, float32 [N]; O(N log T)."""
    points = numbers([num], key, NEGATIVES, tf.float64)
    places = tf.searchsorted(shares.cumulative, points, side="right")  # below T: the last share ends at 1
    return tf.gather(shares.items, places), tf.gather(shares.log_share, places)


def log_shares(item_counts: npt.NDArray[np.int64]) -> Any:
    """float32 [V]: log q of in-batch negatives, which come as often as the events do; -inf without one."""
    with np.errstate(divide="ignore"):
        return tf.constant(np.log(item_counts / item_counts.sum()), tf.float32)
