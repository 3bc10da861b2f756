"""Exact top-N by sums of item-to-item weights, and which parts a sum is made of.

A user's score of item j is the sum over the history, newest event first, of its weight x W[item, j], in
float64 and in that one order: a user's list does not depend on who else is in the batch. What a user costs
follows from the history's neighbours, not from the number of items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking import item_item_loops as loops
from recsys_spark.ranking.pools import fixed
from recsys_spark.ranking.top_n import Lists, by_user, empty_lists

Array = NDArray[Any]


ALLOWED = np.array([[0.0, 1.0]])  # the factors of one group: kind 1 may be listed, kind 0 not


@dataclass(frozen=True)
class ItemWeights:
    """W [V, V] by rows: item i's neighbours and weights lie at `starts[i] : starts[i + 1]`.

    Attributes:
        starts: int64 [V + 1], from 0.
        neighbours: int32 [number of weights], below V, ascending within a row; empty where every row is dense:
            V weights, one an item.
        weights: float [number of weights].

    Raises:
        ValueError: the arrays do not fit each other; machine code reads them without looking.
    """

    starts: Array
    neighbours: Array
    weights: Array

    def __post_init__(self) -> None:
        num, ends = len(self.weights), self.starts
        fits = bool(len(ends)) and ends[0] == 0 and ends[-1] == num and (np.diff(ends) >= 0).all()
        if not len(self.neighbours):
            fits = fits and (num == 0 or (np.diff(ends) == len(ends) - 1).all())
        elif (
            len(self.neighbours) != num
            or not 0 <= self.neighbours.min() <= self.neighbours.max() < len(ends) - 1
        ):
            fits = False
        if not fits:
            raise ValueError("item-to-item rows: starts, neighbours and weights do not fit each other")


class UserItems(NamedTuple):
    """Items of B users with what each weighs, newest last; those of user b lie at `starts[b] : starts[b + 1]`.

    Attributes:
        starts: int64 [B + 1].
        items: item_idx; 0 pads, 1 and items of V or above have no neighbours.
        weights: float, of each.
        is_distinct: whether no user has an item twice.
    """

    starts: Array
    items: Array
    weights: Array
    is_distinct: bool = False

    @property
    def num_users(self) -> int:
        """B."""
        return len(self.starts) - 1

    def of_rows(self, rows: Array) -> UserItems:
        """Those of some users, in their order."""
        sizes = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        place = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], sizes)
        return self._replace(starts=starts, items=self.items[place], weights=self.weights[place])


def of_histories(items: Array, weights: Array) -> UserItems:
    """Histories [B, L] as the items of users.

    Raises:
        ValueError: shapes differ.
    """
    if items.shape != weights.shape:
        raise ValueError(f"history {items.shape} and its weights {weights.shape} differ in shape")
    starts = np.arange(len(items) + 1, dtype=np.int64) * items.shape[1]
    return UserItems(starts, items.reshape(-1), weights.reshape(-1))


@dataclass(frozen=True)
class Parts:
    """Of each listed item the history's items with the greatest parts: int64 [B, N, R] (0 pads), scores float64."""

    item_idx: Array
    scores: NDArray[np.float64]


def top_n(
    users: UserItems,
    matrix: ItemWeights,
    kind: Array,
    num_items: int,
    left_out: tuple[Array, Array] | None = None,
    factors: Array = ALLOWED,
    group: Array | None = None,
) -> Lists:
    """The `num_items` best items of each user with a score above 0, by score, ties by item_idx ascending.

    Args:
        kind: [V]; with the given factors, a mask of what may be listed.
        left_out: (user row, item_idx) pairs that may not be listed; unknown items are ignored.
        factors: [G, K], not negative: the score of item i for users of group g is multiplied by
            `factors[g, kind[i]]`; 0: they may not get it.
        group: [B], below G; None: everybody is in group 0.

    Raises:
        ValueError: shapes differ, or a weight of a user's item is not finite.
    """
    num_known = len(matrix.starts) - 1
    if len(kind) != num_known:
        raise ValueError(f"kind: expected {num_known} items, got {len(kind)}")
    left_starts, unwanted = by_user(left_out, users.num_users, num_known)
    lists = empty_lists(users.num_users, num_items)
    loops.rank(
        *_arguments(users, matrix),
        fixed(kind, np.int32),
        fixed(factors, np.float64),
        fixed(np.zeros(users.num_users) if group is None else group, np.int64),
        fixed(left_starts, np.int64),
        fixed(unwanted, np.int64),
        lists.item_idx,
        lists.scores,
        lists.num_items,
    )
    return lists


def contributions(users: UserItems, matrix: ItemWeights, item_idx: Array, num_parts: int) -> Parts:
    """Which items of the user the scores of listed items are made of, the greatest parts first.

    Without that item's events, the others keeping their weights, the score is lower by exactly its part. Ties: the
    item with the newer event first. Parts of 0 are left out.

    Args:
        users: as `top_n` took them.
        item_idx: [B, N], as `top_n` gave them; 0 pads.
        num_parts: R.

    Raises:
        ValueError: shapes differ, or a weight of a user's item is not finite.
    """
    shape = (*item_idx.shape, num_parts)
    parts = Parts(np.zeros(shape, np.int64), np.zeros(shape))
    loops.split(
        *_arguments(users, matrix),
        users.is_distinct,
        fixed(item_idx, np.int64),
        parts.item_idx,
        parts.scores,
    )
    return parts


def _arguments(users: UserItems, matrix: ItemWeights) -> tuple[Array, Array, Array, Array, Array, Array]:
    if not len(users.items) == len(users.weights) == users.starts[-1]:
        raise ValueError(
            f"items of users: {len(users.items)} items, {len(users.weights)} weights, expected {users.starts[-1]}"
        )
    if not np.isfinite(users.weights).all():
        raise ValueError("a weight of a user's item is not finite")
    return (
        fixed(users.starts, np.int64),
        fixed(users.items, np.int64),
        fixed(users.weights, np.float64),
        fixed(matrix.starts, np.int64),
        fixed(matrix.neighbours, np.int32),
        fixed(matrix.weights, matrix.weights.dtype),
    )
