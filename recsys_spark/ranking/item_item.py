"""Exact top-N by sums of item-to-item weights, and which parts a sum is made of.

A user's score of item j is the sum over the history, newest event first, of its weight x W[item, j], in
float64 and in that one order: a user's list does not depend on who else is in the batch. What a user costs
follows from the history's neighbours, not from the number of items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking import item_item_loops as loops
from recsys_spark.ranking.pools import fixed
from recsys_spark.ranking.top_n import Lists, by_user, empty_lists

Array = NDArray[Any]


ALLOWED = np.array([[0.0, 1.0]])  # the factors of one group: kind 1 may be listed, kind 0 not


@dataclass(frozen=True)
class ItemItem:
    """W [V, V] by rows: item i's neighbours and weights lie at `starts[i] : starts[i + 1]`.

    Attributes:
        starts: int64 [V + 1], from 0.
        neighbours: int32 [number of weights], below V, ascending within a row.
        weights: float [number of weights].

    Raises:
        ValueError: the arrays do not fit each other; machine code reads them without looking.
    """

    starts: Array
    neighbours: Array
    weights: Array

    def __post_init__(self) -> None:
        num, ends = len(self.neighbours), self.starts
        fits = (
            len(ends) and ends[0] == 0 and ends[-1] == num == len(self.weights) and (np.diff(ends) >= 0).all()
        )
        if not fits or (num and not 0 <= self.neighbours.min() <= self.neighbours.max() < len(ends) - 1):
            raise ValueError("item-to-item rows: starts, neighbours and weights do not fit each other")


@dataclass(frozen=True)
class Parts:
    """Of each listed item the history's items with the greatest parts: int64 [B, N, R] (0 pads), scores float64."""

    item_idx: Array
    scores: NDArray[np.float64]


def top_n(
    history: Array,
    history_weights: Array,
    matrix: ItemItem,
    kind: Array,
    num_items: int,
    left_out: tuple[Array, Array] | None = None,
    factors: Array = ALLOWED,
    group: Array | None = None,
) -> Lists:
    """The `num_items` best items of each user with a score above 0, by score, ties by item_idx ascending.

    Args:
        history: int [B, L], left-padded item_idx; 0 pads, 1 and items of V or above have no neighbours.
        history_weights: [B, L].
        kind: [V]; with the given factors, a mask of what may be listed.
        left_out: (user row, item_idx) pairs that may not be listed; unknown items are ignored.
        factors: [G, K], not negative: the score of item i for users of group g is multiplied by
            `factors[g, kind[i]]`; 0: they may not get it.
        group: [B], below G; None: everybody is in group 0.

    Raises:
        ValueError: shapes differ, or a history weight is not finite.
    """
    _check(history, history_weights)
    num_known = len(matrix.starts) - 1
    if len(kind) != num_known:
        raise ValueError(f"kind: expected {num_known} items, got {len(kind)}")
    left_starts, unwanted = by_user(left_out, len(history), num_known)
    lists = empty_lists(len(history), num_items)
    loops.rank(
        *_arguments(history, history_weights, matrix),
        fixed(kind, np.int32),
        fixed(factors, np.float64),
        fixed(np.zeros(len(history)) if group is None else group, np.int64),
        fixed(left_starts, np.int64),
        fixed(unwanted, np.int64),
        lists.item_idx,
        lists.scores,
        lists.num_items,
    )
    return lists


def contributions(
    history: Array, history_weights: Array, matrix: ItemItem, item_idx: Array, num_parts: int
) -> Parts:
    """Which items of the history the scores of listed items are made of, the greatest parts first.

    Without that item's events, the others keeping their weights, the score is lower by exactly its part. Ties: the
    item with the newer event first. Parts of 0 are left out.

    Args:
        history, history_weights: [B, L], as `top_n` took them.
        item_idx: [B, N], as `top_n` gave them; 0 pads.
        num_parts: R.

    Raises:
        ValueError: shapes differ, or a history weight is not finite.
    """
    _check(history, history_weights)
    shape = (*item_idx.shape, num_parts)
    parts = Parts(np.zeros(shape, np.int64), np.zeros(shape))
    loops.split(
        *_arguments(history, history_weights, matrix),
        fixed(item_idx, np.int64),
        parts.item_idx,
        parts.scores,
    )
    return parts


def _check(history: Array, history_weights: Array) -> None:
    if history.shape != history_weights.shape:
        raise ValueError(f"history {history.shape} and its weights {history_weights.shape} differ in shape")
    if not np.isfinite(history_weights).all():
        raise ValueError("a history weight is not finite")


def _arguments(
    history: Array, history_weights: Array, matrix: ItemItem
) -> tuple[Array, Array, Array, Array, Array]:
    return (
        fixed(history, np.int64),
        fixed(history_weights, np.float64),
        fixed(matrix.starts, np.int64),
        fixed(matrix.neighbours, np.int32),
        fixed(matrix.weights, matrix.weights.dtype),
    )
