"""The float64 order of the items that survived float32: the other compiled half of the exact top-N."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.compiled import compiled

Array = NDArray[Any]

_FEW = 512  # scores that are put in order by comparing each with each


@compiled
def decide(
    users: Array, group: Array, vectors: Array, kind: Array, offsets: Array, unwanted: Array, starts: Array,
    kept: Array, count: Array, is_wide: Array,
    item_idx: Array, exact: Array, num_listed: Array,
) -> None:  # fmt: skip
    """Write each user's list: the survivors by float64 score descending, then by item_idx.

    Args:
        users, group: float64 [B, D], [B]; vectors, kind, offsets: [V, D], [V], [G, K], as in `Candidates`.
        unwanted: item_idx left out, ascending for each user; user b's are those from starts[b] to starts[b + 1].
        kept, count, is_wide: as `survivors.find` wrote them.
        item_idx, exact, num_listed: [B, N], [B, N], [B], written.
    """
    num_items = item_idx.shape[1]
    totals, rank = np.empty(kept.shape[1]), np.empty(kept.shape[1], np.int64)
    products = np.empty(users.shape[1])
    for user in range(len(users)):
        if is_wide[user]:
            of_user = unwanted[starts[user] : starts[user + 1]]
            num_listed[user] = _by_all(
                users[user], vectors, kind, offsets[group[user]], of_user, item_idx[user], exact[user]
            )
            continue
        num = count[user]
        for place in range(num):
            item = kept[user, place]
            totals[place] = _dot(users[user], vectors[item], products) + offsets[group[user], kind[item]]
        _ranks(totals[:num], rank)
        num_listed[user] = min(num, num_items)
        for place in range(num):
            if rank[place] < num_items:
                item_idx[user, rank[place]] = kept[user, place]
                exact[user, rank[place]] = totals[place]


@compiled
def _ranks(totals: Array, rank: Array) -> None:
    """How many stand before each one [num]: the larger, and of equals those that come first."""
    if len(totals) > _FEW:
        order = np.argsort(-totals, kind="mergesort")
        for place in range(len(order)):
            rank[order[place]] = place
        return
    rank[: len(totals)] = 0
    # Each pair is compared once, a register of pairs at a time.
    for place in range(len(totals)):
        score, before = totals[place], 0
        later, ranks = totals[place + 1 :], rank[place + 1 : len(totals)]
        for other in range(len(later)):
            is_larger = 1 if later[other] > score else 0
            before += is_larger
            ranks[other] = ranks[other] + 1 - is_larger
        rank[place] += before


@compiled
def _by_all(
    user: Array, vectors: Array, kind: Array, offsets: Array, of_user: Array, item_idx: Array, exact: Array
) -> int:
    """The list of one user from the float64 scores of all items; returns its length."""
    num_items = len(item_idx)
    best, best_idx = np.empty(2 * num_items), np.empty(2 * num_items, np.int64)
    products = np.empty(len(user))
    num, lowest, left_out = 0, -np.inf, 0
    for item in range(len(kind)):
        if left_out < len(of_user) and of_user[left_out] == item:
            while left_out < len(of_user) and of_user[left_out] == item:
                left_out += 1
            continue
        if offsets[kind[item]] == -np.inf:
            continue
        score = _dot(user, vectors[item], products) + offsets[kind[item]]
        if num >= num_items and score <= lowest:  # the earlier item wins a tie
            continue
        best[num], best_idx[num] = score, item
        num += 1
        if num == 2 * num_items:
            num, lowest = _sort_best(best, best_idx, num, num_items)
    num, lowest = _sort_best(best, best_idx, num, num_items)
    for place in range(num):
        item_idx[place], exact[place] = best_idx[place], best[place]
    return num


@compiled
def _sort_best(best: Array, best_idx: Array, num: int, num_items: int) -> tuple[int, float]:
    order = np.argsort(-best[:num], kind="mergesort")[:num_items]
    scores, item_idx = best[order], best_idx[order]
    for place in range(len(order)):
        best[place], best_idx[place] = scores[place], item_idx[place]
    return len(order), best[len(order) - 1] if len(order) == num_items else -np.inf


@compiled
def _dot(user: Array, vector: Array, products: Array) -> float:
    """Inner product in float64, added in the order of NumPy's `sum` for up to 128 terms; `products` [D] is its own."""
    for place in range(len(user)):
        products[place] = user[place] * np.float64(vector[place])
    whole = len(user) // 8 * 8
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for first in range(0, whole, 8):
        s0 += products[first]
        s1 += products[first + 1]
        s2 += products[first + 2]
        s3 += products[first + 3]
        s4 += products[first + 4]
        s5 += products[first + 5]
        s6 += products[first + 6]
        s7 += products[first + 7]
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for place in range(whole, len(user)):
        total += products[place]
    return total
