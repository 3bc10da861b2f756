"""The first N of ready-made orders that a user may get: what a user costs follows from what is passed over."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.compiled import compiled
from recsys_spark.ranking.top_n import Lists, by_user

Array = NDArray[Any]

_FREE, _PASSED, _UNWANTED = 0, 1, 2


def first_n(
    order_of: Array,
    starts: Array,
    item_idx: Array,
    scores: Array,
    factors: Array,
    is_allowed: NDArray[np.bool_],
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
        is_allowed: [V].
        left_out: (user row, item_idx) pairs that may not be listed; unknown items are ignored.
    """
    num_users = len(order_of)
    unwanted_starts, unwanted = by_user(left_out, num_users, len(is_allowed))
    lists = Lists(
        np.zeros((num_users, num_items), np.int64),
        np.zeros((num_users, num_items)),
        np.zeros(num_users, np.int64),
    )
    _walk(
        np.asarray(order_of, np.int64), starts, item_idx, scores, factors, is_allowed, unwanted_starts,
        unwanted,
        lists.item_idx, lists.scores, lists.num_items,
    )  # fmt: skip
    return lists


@compiled
def _walk(
    order_of: Array, starts: Array, item_idx: Array, scores: Array, factors: Array, is_allowed: Array,
    unwanted_starts: Array, unwanted: Array, out_idx: Array, out_scores: Array, out_num: Array,
) -> None:  # fmt: skip
    state = np.zeros(len(is_allowed), np.uint8)  # cleaned after each user
    most = out_idx.shape[1]
    for user in range(len(order_of)):
        own = unwanted[unwanted_starts[user] : unwanted_starts[user + 1]]
        for item in own:
            state[item] = _UNWANTED
        order, num = order_of[user], 0
        first = starts[order]
        at, stop = first, starts[order + 1]
        while num < most and at < stop:
            item = item_idx[at]
            if is_allowed[item] and state[item] == _FREE:
                out_idx[user, num], out_scores[user, num] = item, scores[at]
                num += 1
            state[item] = max(state[item], _PASSED)
            at += 1
        passed = at
        if order:
            at, stop = starts[0], starts[1]
            while num < most and at < stop:
                item = item_idx[at]
                if is_allowed[item] and state[item] == _FREE:
                    out_idx[user, num], out_scores[user, num] = item, scores[at] * factors[order]
                    num += 1
                at += 1
        out_num[user] = num
        for at in range(first, passed):
            state[item_idx[at]] = _FREE
        for item in own:
            state[item] = _FREE
