"""The first N of ready-made orders that a user may get: what a user costs follows from what is passed over."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.compiled import compiled
from recsys_spark.ranking.top_n import Lists, by_user, empty_lists

Array = NDArray[Any]

_FREE, _PASSED, _UNWANTED = 0, 1, 2


def first_n(
    order_of: Array,
    starts: Array,
    item_idx: Array,
    scores: Array,
    factors: Array,
    is_allowed: NDArray[np.bool_],
    kind: Array,
    group: Array,
    num_items: int,
    left_out: tuple[Array, Array] | None = None,
) -> Lists:
    """Each user's first `num_items` of an order, then of order 0, whose scores are multiplied by a factor.

    Args:
        order_of: int [B], the order of each user.
        starts: int64 [S + 1]; order s lies at `starts[s] : starts[s + 1]` of the next two.
        item_idx: int32, below V.
        scores: float64.
        factors: float64 [S].
        is_allowed: [G, K]; users of group g may get item i when `is_allowed[g, kind[i]]`.
        kind: int [V].
        group: int [B].
        left_out: (user row, item_idx) pairs that may not be listed; unknown items are ignored.
    """
    num_users = len(order_of)
    unwanted_starts, unwanted = by_user(left_out, num_users, len(kind))
    lists = empty_lists(num_users, num_items)
    _walk(
        np.asarray(order_of, np.int64), starts, item_idx, scores, factors, is_allowed,
        np.asarray(kind, np.int32), np.asarray(group, np.int64), unwanted_starts, unwanted,
        lists.item_idx, lists.scores, lists.num_items,
    )  # fmt: skip
    return lists


def round_from(
    first: Array,
    item_idx: Array,
    is_allowed: NDArray[np.bool_],
    kind: Array,
    group: Array,
    num_items: int,
    left_out: tuple[Array, Array] | None = None,
) -> Lists:
    """Each user's next `num_items` of one order, from place `first` [B] on and round its end; scores are 0, -1, ...

    Args:
        item_idx: int32, the order.
        is_allowed, kind, group, left_out: as in `first_n`.
    """
    unwanted_starts, unwanted = by_user(left_out, len(first), len(kind))
    lists = empty_lists(len(first), num_items)
    _walk_round(
        first, item_idx, is_allowed, np.asarray(kind, np.int32), np.asarray(group, np.int64), unwanted_starts,
        unwanted, lists.item_idx, lists.scores, lists.num_items,
    )  # fmt: skip
    return lists


def hashed(numbers: Array, seed: int) -> NDArray[np.uint64]:
    """A 64-bit hash of each number [B] with a seed: the same on every machine and in every version.

    Source: Steele, Lea and Flood 2014, the finaliser of SplitMix64.
    """
    with np.errstate(over="ignore"):
        mixed = numbers.astype(np.uint64) + np.uint64(seed % 2**64) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        return np.asarray(mixed ^ (mixed >> np.uint64(31)))


@compiled
def _walk_round(
    first: Array, item_idx: Array, is_allowed: Array, kind: Array, group: Array, unwanted_starts: Array,
    unwanted: Array, out_idx: Array, out_scores: Array, out_num: Array,
) -> None:  # fmt: skip
    state = np.zeros(len(kind), np.uint8)  # cleaned after each user
    for user in range(len(first)):
        may = is_allowed[group[user]]
        of_user = unwanted[unwanted_starts[user] : unwanted_starts[user + 1]]
        for item in of_user:
            state[item] = _UNWANTED
        num = 0
        for step in range(len(item_idx)):
            if num == out_idx.shape[1]:
                break
            item = item_idx[(first[user] + step) % len(item_idx)]
            if may[kind[item]] and state[item] == _FREE:
                out_idx[user, num], out_scores[user, num] = item, -num
                num += 1
        out_num[user] = num
        for item in of_user:
            state[item] = _FREE


@compiled
def _walk(
    order_of: Array, starts: Array, item_idx: Array, scores: Array, factors: Array, is_allowed: Array,
    kind: Array, group: Array, unwanted_starts: Array, unwanted: Array,
    out_idx: Array, out_scores: Array, out_num: Array,
) -> None:  # fmt: skip
    state = np.zeros(len(kind), np.uint8)  # cleaned after each user
    most = out_idx.shape[1]
    for user in range(len(order_of)):
        may = is_allowed[group[user]]
        of_user = unwanted[unwanted_starts[user] : unwanted_starts[user + 1]]
        for item in of_user:
            state[item] = _UNWANTED
        order, num = order_of[user], 0
        first = starts[order]
        at, stop = first, starts[order + 1]
        while num < most and at < stop:
            item = item_idx[at]
            if may[kind[item]] and state[item] == _FREE:
                out_idx[user, num], out_scores[user, num] = item, scores[at]
                num += 1
            state[item] = max(state[item], _PASSED)
            at += 1
        passed = at
        if order:
            at, stop = starts[0], starts[1]
            while num < most and at < stop:
                item = item_idx[at]
                if may[kind[item]] and state[item] == _FREE:
                    out_idx[user, num], out_scores[user, num] = item, scores[at] * factors[order]
                    num += 1
                at += 1
        out_num[user] = num
        for at in range(first, passed):
            state[item_idx[at]] = _FREE
        for item in of_user:
            state[item] = _FREE
