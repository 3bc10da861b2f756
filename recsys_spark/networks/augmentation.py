"""Other views of a window, drawn in the step: its oldest events cropped, a short span reordered, items masked.

Source: Xie et al. 2020, "Contrastive Learning for Sequential Recommendation". Differs: the views train
the next-item loss itself; a reordered span takes no targets inside, since it would show them.

Shapes: B windows, L events, left-padded with 0. Places: 10 crop, 11 reorder, 12 its shuffle, 13 mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from recsys_spark.networks import draws
from recsys_spark.tables import UNKNOWN

SPAN = 5  # events in a reordered span, at most; at least 2

Inputs = Mapping[str, Any]


def augment(
    inputs: Inputs, key: Any, *, crop_share: float, reorder_share: float, mask_share: float
) -> tuple[Inputs, Any]:
    """The inputs as the network is to see them, and bool [B, L]: whether the event after each place may train.

    Args:
        inputs: items, types, values, gaps, weights, each [B, L].
        key: of the step; None changes nothing.
        crop_share: share of windows that lose their oldest events, from a random one on.
        reorder_share: share of windows in which a span is shuffled.
        mask_share: share of events whose item becomes unknown.
    """
    trains = tf.fill(tf.shape(inputs["items"]), True)
    if key is None:
        return inputs, trains
    if crop_share:
        inputs, trains = _crop(inputs, crop_share, key)
    if reorder_share:
        inputs, stays = _reorder(inputs, reorder_share, key)
        trains &= stays
    if mask_share:
        inputs = _mask(inputs, mask_share, key)
    return inputs, trains


def _crop(inputs: Inputs, share: float, key: Any) -> tuple[Inputs, Any]:
    """Events before a random one become padding, whose successors no longer train; at least one event stays."""
    places, first, num = _extent(inputs["items"])
    draw, point = tf.unstack(draws.numbers([2, tf.shape(num)[0]], key, 10))
    num_dropped = tf.where((draw < share) & (num > 1), 1 + _below(num - 1, point), 0)  # [B]
    start = (first + num_dropped)[:, None]
    stays = (places >= start) | (num_dropped == 0)[:, None]  # [B, L]
    kept = {name: tf.where(stays, rows, tf.zeros_like(rows)) for name, rows in inputs.items()}
    is_first = (places == start) & (num_dropped > 0)[:, None]  # a history's first gap is 0
    kept["gaps"] = tf.where(is_first, tf.zeros_like(kept["gaps"]), kept["gaps"])
    return kept, stays


def _reorder(inputs: Inputs, share: float, key: Any) -> tuple[Inputs, Any]:
    """Events of a span change places, the gaps stay; the targets within the span no longer train."""
    places, first, num = _extent(inputs["items"])
    draw, size_point, start_point = tf.unstack(draws.numbers([3, tf.shape(num)[0]], key, 11))
    size = tf.minimum(2 + _below(tf.fill(tf.shape(num), SPAN - 1), size_point), num)  # [B]
    size = tf.where((draw < share) & (num > 1), size, 0)
    start = (first + _below(num - size + 1, start_point))[:, None]
    end = start + size[:, None]  # exclusive
    is_inside = (places >= start) & (places < end)  # [B, L]
    spread = draws.numbers(tf.shape(inputs["items"]), key, 12)
    rank = tf.where(is_inside, tf.cast(start, tf.float32) + spread, tf.cast(places, tf.float32))
    order = tf.argsort(rank, axis=1, stable=True)  # [B, L]
    moved = {name: tf.gather(rows, order, batch_dims=1) for name, rows in inputs.items()}
    return {**moved, "gaps": inputs["gaps"]}, ~(is_inside & (places < end - 1))


def _mask(inputs: Inputs, share: float, key: Any) -> Inputs:
    """The item becomes unknown; the event's type, value and gap stay."""
    items = inputs["items"]
    is_masked = (draws.numbers(tf.shape(items), key, 13) < share) & tf.not_equal(items, 0)
    return {**inputs, "items": tf.where(is_masked, tf.constant(UNKNOWN, items.dtype), items)}


def _extent(items: Any) -> tuple[Any, Any, Any]:
    """The places [L], and of each window its first event's place [B] and its number of events [B]."""
    length = tf.shape(items)[1]
    num = tf.math.count_nonzero(items, axis=1, dtype=tf.int32)
    return tf.range(length), length - num, num


def _below(limit: Any, point: Any) -> Any:
    """A whole number from 0 to below `limit` [B], from a point in [0, 1)."""
    return tf.minimum(tf.cast(point * tf.cast(limit, tf.float32), tf.int32), limit - 1)
