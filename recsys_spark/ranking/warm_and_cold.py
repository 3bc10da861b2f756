"""Exact top-N where some items have their vectors apart: cold items beside those of a model's matrix. NumPy only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking import top_n as exact
from recsys_spark.ranking.top_n import Candidates, Lists

Array = NDArray[Any]


class ColdItems(NamedTuple):
    """Items that a model was not trained on: item_idx int32 [M], ascending; vectors float32 [M, D]; kind int32 [M]."""

    item_idx: NDArray[np.int32]
    vectors: NDArray[np.float32]
    kind: NDArray[np.int32]


class Both(NamedTuple):
    """All that may be listed: `warm` by item_idx, `cold` by its place in `cold_idx` [M]; None: there are none."""

    warm: Candidates
    cold: Candidates | None
    cold_idx: NDArray[np.int32]


def candidates(item_vectors: Array, kind: Array, offsets: Array, cold: ColdItems | None) -> Both:
    """The candidates of both sorts.

    Args:
        item_vectors, kind: [V, D], [V]; kind 0 at every cold item.
        offsets: [G, K], as `candidates` takes them.

    Raises:
        ValueError: as `candidates` does.
    """
    warm = exact.candidates(item_vectors, kind, offsets)
    if cold is None:
        return Both(warm, None, np.zeros(0, np.int32))
    return Both(warm, exact.candidates(cold.vectors, cold.kind, offsets), cold.item_idx)


def top_n(
    user_vectors: Array, items: Both, num_items: int, left_out: tuple[Array, Array] | None, group: Array
) -> Lists:
    """As `ranking.top_n`, over all items: by score descending, ties by item_idx ascending."""
    warm = exact.top_n(user_vectors, items.warm, num_items, left_out, group)
    if items.cold is None:
        return warm
    if left_out is not None:
        place, is_cold = places(items.cold_idx, left_out[1])
        left_out = left_out[0][is_cold], place[is_cold]
    cold = exact.top_n(user_vectors, items.cold, num_items, left_out, group)
    cold_idx = np.where(exact.is_filled(cold), items.cold_idx[cold.item_idx], 0)
    return _merged(warm, Lists(cold_idx, cold.scores, cold.num_items))


def vectors_of(item_vectors: Array, cold: ColdItems | None, item_idx: Array) -> Array:
    """The vectors [..., D] of items of either sort."""
    if cold is None:
        return np.asarray(item_vectors[item_idx])
    place, is_cold = places(cold.item_idx, item_idx)
    vectors = np.asarray(item_vectors[np.where(is_cold, 0, item_idx)])
    vectors[is_cold] = cold.vectors[place[is_cold]]
    return vectors


def places(cold_idx: Array, item_idx: Array) -> tuple[Array, NDArray[np.bool_]]:
    """The place of each item among the cold ones [M], M at least 1; and whether it is one of them."""
    place = np.minimum(np.searchsorted(cold_idx, item_idx), len(cold_idx) - 1)
    return place, cold_idx[place] == item_idx


def _merged(one: Lists, other: Lists) -> Lists:
    """The best of two lists a user, as many as each has places for; no item is in both."""
    num_items = one.item_idx.shape[1]
    item_idx = np.concatenate([one.item_idx, other.item_idx], axis=1)
    scores = np.concatenate([one.scores, other.scores], axis=1)
    scores[item_idx == 0] = -np.inf
    best = np.lexsort((item_idx, -scores), axis=1)[:, :num_items]
    item_idx, scores = (np.take_along_axis(values, best, axis=1) for values in (item_idx, scores))
    num = np.minimum(one.num_items + other.num_items, num_items)
    return Lists(item_idx, np.where(item_idx > 0, scores, 0.0), num)
