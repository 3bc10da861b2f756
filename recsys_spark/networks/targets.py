"""Which events of a batch of windows are predicted, one row an event from here on.

Shapes: B windows of W = L + 1 events, M targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from recsys_spark.tables import FIRST_IDX


class Targets(NamedTuple):
    """The events to predict.

    Attributes:
        places: int64 [M], of the event before each, in the flattened [B * L] inputs.
        items: int32 [M], item numbers.
        weights: float32 [M].
        window: int32 [M], the row of the batch each stands in.
        num_in_window: int32 [M], targets of that row.
        windows: int32 [B, W], the items of whole windows as the feed gave them.
    """

    places: Any
    items: Any
    weights: Any
    window: Any
    num_in_window: Any
    windows: Any


def select(batch: Mapping[str, Any], trains: Any) -> Targets:
    """Known items under the mask, where the place before them `trains`.

    Args:
        batch: items, weights and mask, each [B, W].
        trains: bool [B, L], as `augment` gives it.
    """
    items = batch["items"][:, 1:]  # [B, L]
    is_target = (batch["mask"][:, 1:] > 0) & (items >= FIRST_IDX) & trains
    places = tf.reshape(tf.where(tf.reshape(is_target, [-1])), [-1])
    window = tf.cast(places, tf.int32) // tf.shape(items)[1]
    return Targets(
        places,
        tf.gather(tf.reshape(items, [-1]), places),
        tf.gather(tf.reshape(batch["weights"][:, 1:], [-1]), places),
        window,
        tf.gather(tf.math.count_nonzero(is_target, axis=1, dtype=tf.int32), window),
        batch["items"],
    )
