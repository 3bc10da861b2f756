"""The compiled half of the exact top-N: which items survive the float32 scores, and their float64 order.

Every array is of one block of B users. Their state, made by `nobody` and passed as one tuple:

`kept`     int32 [B, S], item_idx ascending, and `scores` float32 [B, S], of the survivors so far
`count`    int64 [B], how many there are
`floor`    float64 [B], below it a float32 score cannot reach the list
`is_wide`  bool [B], true when more than S items are too close to tell apart: float64 looks at every item
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.compiled import compiled

Array = NDArray[Any]

_LANES = 64  # columns that maxima run down side by side, in whole registers
_DEPTH = 16  # most rows of a column: scores whose maximum is compared before each of them is
_LOWEST = -3.5e38  # below every finite float32, above -inf
_FEW = 512  # scores that are put in order by comparing each with each
_ROOM = 4  # survivors kept for each place of the list


def room_of(num_items: int) -> int:
    """S: survivors kept of each user, for lists of `num_items`."""
    return max(_ROOM * num_items, 256)


def nobody(num_users: int, num_items: int) -> tuple[Array, ...]:
    """The state before the first block of items."""
    room = room_of(num_items)
    return (
        np.empty((num_users, room), np.int32),
        np.empty((num_users, room), np.float32),
        np.zeros(num_users, np.int64),
        np.full(num_users, _LOWEST),
        np.zeros(num_users, np.bool_),
    )


@compiled
def add(
    block: Array, offsets: Array, row_of: Array, start: int, error: Array, num_items: int,
    unwanted: Array, at: Array, stop: Array,
    kept: Array, scores: Array, count: Array, floor: Array, is_wide: Array,
) -> None:  # fmt: skip
    """Take in the scores `block` [B, C] of items `start` to `start + C`; the block is written to.

    Args:
        offsets: float32 [U, C], added to the scores; user b has row `row_of[b]`. -inf: not to be listed.
        error: [B], how far a float32 score may be off.
        unwanted: item_idx left out, ascending for each user; `at` [B] is the next one of each user and moves
            on, `stop` [B] is behind the last one.
    """
    width, room = block.shape[1], scores.shape[1]
    depth = _depth(width, num_items)
    num_parts = -(-width // (_LANES * depth))
    num_columns = num_parts * _LANES
    maxima, open_lanes = np.empty(num_columns, np.float32), np.empty(_LANES + 1, np.int64)
    best, better = np.empty(_LANES, np.float32), np.empty(_LANES, np.float32)
    # The survivors of one user so far, and behind them those of this block: one cell is for what is not one.
    both, both_scores = np.empty(room + width + 1, np.int32), np.empty(room + width + 1, np.float32)
    space = np.empty(room + width, np.float32)
    for user in range(len(block)):
        row = block[user]
        while at[user] < stop[user] and unwanted[at[user]] < start + width:
            row[unwanted[at[user]] - start] = -np.inf
            at[user] += 1
        if is_wide[user]:
            continue
        own = offsets[row_of[user]]
        _maxima(row, own, depth, maxima, best, better)
        lowest, before = floor[user], count[user]
        if before < num_items and num_columns >= num_items:
            # So many columns have an item as good as this one.
            lowest = max(lowest, _nth_best(maxima, num_columns, num_items, space) - 2 * error[user])
        both[:before], both_scores[:before] = kept[user, :before], scores[user, :before]
        num = before
        for part in range(num_parts):
            num_open = 0
            for lane in range(_LANES):
                open_lanes[num_open] = lane  # stays if its column holds one that is good enough
                num_open += maxima[part * _LANES + lane] >= lowest
            first = part * _LANES * depth
            for line in range(first, min(first + _LANES * depth, width), _LANES):
                for lane in range(num_open):
                    place = line + open_lanes[lane]
                    if place < width:
                        score = row[place] + own[place]
                        both[num], both_scores[num] = start + place, score  # as above
                        num += score >= lowest
        if num > room:
            lowest = max(lowest, _nth_best(both_scores, num, num_items, space) - 2 * error[user])
            num, before = _only_from(lowest, both, both_scores, num), 0
        floor[user], is_wide[user] = lowest, num > room
        if num <= room:
            kept[user, before:num], scores[user, before:num] = both[before:num], both_scores[before:num]
            count[user] = num


@compiled
def decide(
    users: Array, group: Array, vectors: Array, kind: Array, offsets: Array, error: Array,
    unwanted: Array, starts: Array,
    item_idx: Array, exact: Array, num_listed: Array,
    kept: Array, scores: Array, count: Array, floor: Array, is_wide: Array,
) -> None:  # fmt: skip
    """Write each user's list: the survivors by float64 score descending, then by item_idx.

    Args:
        users, group: float64 [B, D], [B]; vectors, kind, offsets: [V, D], [V], [G, K], as in `Candidates`.
        unwanted: as in `add`; user b's are those from starts[b] to starts[b + 1].
        item_idx, exact, num_listed: [B, N], [B, N], [B], written.
    """
    num_items = item_idx.shape[1]
    space, found = np.empty(scores.shape[1], np.float32), np.empty(scores.shape[1])
    rank, products = np.empty(scores.shape[1], np.int64), np.empty(users.shape[1])
    for user in range(len(users)):
        if is_wide[user]:
            own = unwanted[starts[user] : starts[user + 1]]
            num_listed[user] = _by_all(
                users[user], vectors, kind, offsets[group[user]], own, item_idx[user], exact[user]
            )
            continue
        num = count[user]
        if num > num_items:
            lowest = _nth_best(scores[user], num, num_items, space) - 2 * error[user]
            num = _only_from(lowest, kept[user], scores[user], num)
        for place in range(num):
            item = kept[user, place]
            found[place] = _dot(users[user], vectors[item], products) + offsets[group[user], kind[item]]
        _ranks(found[:num], rank)
        num_listed[user] = min(num, num_items)
        for place in range(num):
            if rank[place] < num_items:
                item_idx[user, rank[place]] = kept[user, place]
                exact[user, rank[place]] = found[place]


@compiled
def _ranks(found: Array, rank: Array) -> None:
    """How many stand before each one [num]: the larger, and of equals those that come first."""
    if len(found) > _FEW:
        order = np.argsort(-found, kind="mergesort")
        for place in range(len(order)):
            rank[order[place]] = place
        return
    rank[: len(found)] = 0
    # Each pair is compared once, a register of pairs at a time.
    for place in range(len(found)):
        score, before = found[place], 0
        later, ranks = found[place + 1 :], rank[place + 1 : len(found)]
        for other in range(len(later)):
            is_larger = 1 if later[other] > score else 0
            before += is_larger
            ranks[other] = ranks[other] + 1 - is_larger
        rank[place] += before


@compiled
def _by_all(
    user: Array, vectors: Array, kind: Array, offsets: Array, own: Array, item_idx: Array, exact: Array
) -> int:
    """The list of one user from the float64 scores of all items; returns its length."""
    num_items = len(item_idx)
    best, best_idx = np.empty(2 * num_items), np.empty(2 * num_items, np.int64)
    products = np.empty(len(user))
    num, lowest, left_out = 0, -np.inf, 0
    for item in range(len(kind)):
        if left_out < len(own) and own[left_out] == item:
            while left_out < len(own) and own[left_out] == item:
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
    item_idx[:num], exact[:num] = best_idx[:num], best[:num]
    return num


@compiled
def _sort_best(best: Array, best_idx: Array, num: int, num_items: int) -> tuple[int, float]:
    order = np.argsort(-best[:num], kind="mergesort")[:num_items]
    best[: len(order)], best_idx[: len(order)] = best[order], best_idx[order]
    return len(order), best[len(order) - 1] if len(order) == num_items else -np.inf


@compiled
def _depth(width: int, num_items: int) -> int:
    """Rows of a column: so few that there are some columns for each place of the list."""
    depth = _DEPTH
    while depth > 4 and width < 4 * num_items * depth:
        depth //= 2
    return depth


@compiled
def _maxima(row: Array, offsets: Array, depth: int, maxima: Array, best: Array, better: Array) -> None:
    """The largest score of each column. A part is `depth` lines of `_LANES` scores; the last one may end early.

    `best` and `better` [_LANES] are its own. One array, read and written, would be compiled to a branch a score
    for processors without AVX-512; what is read from one and written to another goes by whole registers.
    """
    num_lines = len(row) // _LANES
    num_parts = len(maxima) // _LANES
    for part in range(num_parts):
        best[:] = -np.inf
        for line in range(part * depth, min((part + 1) * depth, num_lines)):
            scores = row[line * _LANES : (line + 1) * _LANES]
            added = offsets[line * _LANES : (line + 1) * _LANES]
            for lane in range(_LANES):
                score = scores[lane] + added[lane]
                better[lane] = score if score > best[lane] else best[lane]
            best, better = better, best
        maxima[part * _LANES : (part + 1) * _LANES] = best
    first, last = num_lines * _LANES, (num_parts - 1) * _LANES
    for place in range(first, len(row)):
        score, lane = row[place] + offsets[place], last + place - first
        maxima[lane] = score if score > maxima[lane] else maxima[lane]


@compiled
def _nth_best(scores: Array, num: int, num_items: int, space: Array) -> float:
    """The `num_items`-th largest of the first `num`, which are no fewer; `space` holds a copy of them.

    Quickselect whose inner loop has no branch: the processor would mispredict every second one.
    """
    space[:num] = scores[:num]
    low, high, wanted = 0, num, num_items - 1
    while high - low > 1:
        first, middle, last = space[low], space[(low + high) // 2], space[high - 1]
        pivot = max(min(first, middle), min(max(first, middle), last))
        greater = low
        for place in range(low, high):
            score = space[place]
            space[place] = space[greater]
            space[greater] = score
            greater += score > pivot
        if wanted < greater:
            high = greater
            continue
        equal = greater
        for place in range(greater, high):
            score = space[place]
            space[place] = space[equal]
            space[equal] = score
            equal += score == pivot
        if wanted < equal:
            return float(pivot)
        low = equal
    return float(space[wanted])


@compiled
def _only_from(lowest: float, kept: Array, scores: Array, num: int) -> int:
    """Drop, in place, what scores below `lowest`; returns how many remain."""
    remain = 0
    for place in range(num):
        if scores[place] >= lowest:
            kept[remain], scores[remain] = kept[place], scores[place]
            remain += 1
    return remain


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
