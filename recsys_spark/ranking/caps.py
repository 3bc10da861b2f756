"""At most so many items of one category, one seller, ... in a list.

The pool is walked in its order, and an item is passed over when a group it is in has its number already. What
comes out is a prefix of what the walk over a longer pool would give, so a list of full length is that of the
whole ranking, and the first n of a list are the list of n. The walk may go on in a pool without the items of
groups that are full: it would pass over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.compiled import compiled
from recsys_spark.ranking import pools
from recsys_spark.ranking.beyond_accuracy import Categories
from recsys_spark.ranking.top_n import Lists, empty_lists

Array = NDArray[Any]


@dataclass(frozen=True)
class Caps:
    """Groups of all kinds in one numbering: item i is in `groups[starts[i] : starts[i + 1]]`.

    Attributes:
        starts: int64 [V + 1].
        groups: int32.
        most: int64 [number of groups], how many items of each a list may hold.
        member_starts, members: the other way round: group g has the items `members[member_starts[g] :
            member_starts[g + 1]]`.
    """

    starts: Array
    groups: Array
    most: Array
    member_starts: Array
    members: Array


def caps(limits: Sequence[tuple[Categories, int]]) -> Caps:
    """Put kinds of groups together, each with its number; do it once, it costs a copy of them.

    Args:
        limits: per kind the groups of V items, and how many items of one such group a list may hold, from 1.

    Raises:
        ValueError: no kind, a number below 1, kinds of different V, or groups that do not fit their starts.
    """
    if not limits:
        raise ValueError("caps: expected a kind of groups, got none")
    vocabulary = len(limits[0][0].starts) - 1
    for kind, most in limits:
        if most < 1:
            raise ValueError(f"caps: expected at least 1 item of a group, got {most}")
        if len(kind.starts) - 1 != vocabulary:
            raise ValueError(f"caps: kinds of {vocabulary} and {len(kind.starts) - 1} items")
        sizes, codes = np.diff(kind.starts), kind.codes
        fits = kind.starts[0] == 0 and kind.starts[-1] == len(codes) and sizes.min(initial=0) >= 0
        if not fits or (len(codes) and not 0 <= codes.min() <= codes.max() < kind.num):
            raise ValueError("caps: starts and codes of groups do not fit each other")
    starts = np.sum([kind.starts for kind, _ in limits], axis=0)
    groups = np.empty(starts[-1], np.int32)
    next_place, first_group = starts[:-1].copy(), 0
    for kind, _ in limits:
        sizes = np.diff(kind.starts)
        groups[np.arange(len(kind.codes)) + np.repeat(next_place - kind.starts[:-1], sizes)] = (
            kind.codes + first_group
        )
        next_place += sizes
        first_group += kind.num
    most_of = np.repeat([most for _, most in limits], [kind.num for kind, _ in limits])
    sizes = np.bincount(groups, minlength=len(most_of))
    members = np.repeat(np.arange(vocabulary, dtype=np.int32), np.diff(starts))[
        np.argsort(groups, kind="stable")
    ]
    return Caps(
        pools.fixed(starts, np.int64), pools.fixed(groups, np.int32), pools.fixed(most_of, np.int64),
        pools.fixed(np.append(0, np.cumsum(sizes)), np.int64), pools.fixed(members, np.int32),
    )  # fmt: skip


def capped(
    pool: Lists, limits: Caps, num_items: int, placed: Array | None = None
) -> tuple[Lists, NDArray[np.bool_]]:
    """The first `num_items` of each pool that the caps allow, and who needs a longer pool [B].

    The pool's own order counts, so one that was re-ranked may be given. Scores are passed on. A user needs a
    longer pool who got fewer than `num_items` and whose pool was full: there may be more behind its end.

    Args:
        placed: item_idx [B, E], 0 pads: what the lists hold already. It counts, and is not listed again;
            more of it than a cap allows only closes that group.

    Raises:
        ValueError: the pool or `placed` does not fit, or holds an item that is not in `limits`.
    """
    vocabulary = len(limits.starts) - 1
    items, scores, num = pools.checked(pool, vocabulary)
    held = np.zeros((len(items), 0), np.int64) if placed is None else placed
    if len(held) != len(items):
        raise ValueError(f"placed: expected {len(items)} users, got {len(held)}")
    pools.check_items(held, vocabulary, "placed")
    lists = empty_lists(len(items), num_items)
    _walk(
        items, scores, num, pools.fixed(held, np.int64), limits.starts, limits.groups, limits.most,
        lists.item_idx, lists.scores, lists.num_items,
    )  # fmt: skip
    return lists, np.asarray((lists.num_items < num_items) & (num == items.shape[1]))


def closed(listed: Array, limits: Caps) -> tuple[Array, Array]:
    """The items that may not follow what lists hold, as pairs (user row, item_idx), by user; some more than once.

    Args:
        listed: item_idx [B, E], 0 pads; these items are among the pairs.
    """
    pools.check_items(listed, len(limits.starts) - 1, "listed")
    rows, item_idx = _closed(
        pools.fixed(listed, np.int64), limits.starts, limits.groups, limits.most, limits.member_starts,
        limits.members,
    )  # fmt: skip
    return rows, item_idx


@compiled
def _closed(
    listed: Array, starts: Array, groups: Array, most: Array, member_starts: Array, members: Array
) -> tuple[Array, Array]:
    used = np.zeros(len(most), np.int64)  # cleaned after each user
    rows, item_idx, num = np.empty(0, np.int64), np.empty(0, np.int64), 0
    for is_counting in (True, False):
        if not is_counting:
            rows, item_idx, num = np.empty(num, np.int64), np.empty(num, np.int64), 0
        for user in range(len(listed)):
            for item in listed[user]:
                if item > 0:
                    if not is_counting:
                        rows[num], item_idx[num] = user, item
                    num += 1
                    for group in groups[starts[item] : starts[item + 1]]:
                        used[group] += 1
            for item in listed[user]:
                if item > 0:
                    for group in groups[starts[item] : starts[item + 1]]:
                        if used[group] >= most[group]:
                            first, last = member_starts[group], member_starts[group + 1]
                            if not is_counting:
                                rows[num : num + last - first] = user
                                item_idx[num : num + last - first] = members[first:last]
                            num += last - first
                        used[group] = 0
    return rows, item_idx


@compiled
def _walk(
    items: Array, scores: Array, num_in: Array, held: Array, starts: Array, groups: Array, most: Array,
    out_idx: Array, out_scores: Array, out_num: Array,
) -> None:  # fmt: skip
    used = np.zeros(len(most), np.int64)  # cleaned after each user
    for user in range(len(items)):
        for item in held[user]:
            if item > 0:
                for group in groups[starts[item] : starts[item + 1]]:
                    used[group] += 1
        num = 0
        for place in range(num_in[user]):
            if num == out_idx.shape[1]:
                break
            item = items[user, place]
            is_kept = True
            for group in groups[starts[item] : starts[item + 1]]:
                if used[group] >= most[group]:
                    is_kept = False
                    break
            for other in held[user]:
                if other == item:
                    is_kept = False
            if is_kept:
                for group in groups[starts[item] : starts[item + 1]]:
                    used[group] += 1
                out_idx[user, num], out_scores[user, num] = item, scores[user, place]
                num += 1
        out_num[user] = num
        for item in held[user]:
            if item > 0:
                for group in groups[starts[item] : starts[item + 1]]:
                    used[group] = 0
        for item in out_idx[user, :num]:
            for group in groups[starts[item] : starts[item + 1]]:
                used[group] = 0
