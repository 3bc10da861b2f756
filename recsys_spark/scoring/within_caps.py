"""From rankings to the items of lists: as many as are wanted, within caps, re-ordered. NumPy only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking.caps import Caps, capped, closed
from recsys_spark.ranking.left_out import NONE, LeftOut
from recsys_spark.ranking.top_n import Lists, empty_lists

Array = NDArray[Any]
Rank = Callable[[Array, int, LeftOut], Lists]
Reorder = Callable[[Array, Lists], Lists]

CLOSED_PAIRS = 1 << 20  # (user, item) pairs that caps rule out at a time; never fewer than those of one user


def within_caps(
    rank: Rank,
    wanted: Array,
    num_items: int,
    pool_items: int,
    caps: Caps | None = None,
    placed: Array | None = None,
    reorder: Reorder | None = None,
) -> tuple[Lists, NDArray[np.bool_]]:
    """The first `wanted` [B] items of each user's ranking that the caps allow, and whose caps dropped some [B].

    Args:
        rank: gives the best so many for some of the users, by their rows, without these pairs (place among the
            rows, item_idx) beside all that they may not get anyway.
        num_items: N, the greatest number wanted.
        pool_items: how many of the ranking are looked at at a time.
        placed: item_idx [B, E], 0 pads: what the lists hold already; it counts for the caps.
        reorder: gives a pool's own N, for some rows.
    """
    is_capped = np.zeros(len(wanted), np.bool_)
    rows, size = np.flatnonzero(wanted > 0), max(pool_items, num_items)
    if caps is None and reorder is None and len(rows) and (wanted == num_items).all():
        return rank(rows, num_items, NONE), is_capped
    lists = empty_lists(len(wanted), num_items)
    if not len(rows):
        return lists, is_capped
    best = rank(rows, size, NONE)
    if caps is not None:
        held = np.zeros((len(wanted), 0), np.int64) if placed is None else placed
        width = size if reorder else num_items
        best, is_capped[rows] = _within(caps, rank, rows, best, wanted[rows], held[rows], width)
    if reorder is not None:
        best = reorder(rows, best)
    num = np.minimum(best.num_items, wanted[rows])
    is_kept = np.arange(num_items)[None, :] < num[:, None]
    lists.item_idx[rows] = np.where(is_kept, best.item_idx[:, :num_items], 0)
    lists.scores[rows] = np.where(is_kept, best.scores[:, :num_items], 0.0)
    lists.num_items[rows] = num
    return lists, is_capped


def _within(
    caps: Caps, rank: Rank, rows: Array, pool: Lists, wanted: Array, held: Array, width: int
) -> tuple[Lists, NDArray[np.bool_]]:
    """What the caps allow of each pool; for users who want more than that, of what follows in their ranking.

    What follows is ranked without the items of groups that are full: they can never be listed, however many they
    are. So each further pool lists an item at least, and memory does not grow with the number of items dropped.
    """
    best, is_short = capped(pool, caps, width, held)
    is_capped = np.asarray(best.num_items < np.minimum(pool.num_items, wanted))
    short = np.flatnonzero(is_short & (best.num_items < wanted))
    num_users = max(1, CLOSED_PAIRS // max(1, len(caps.members)))
    for first in range(0, len(short), num_users):
        behind = short[first : first + num_users]
        while len(behind):
            listed = np.concatenate([held[behind], best.item_idx[behind]], axis=1)
            pool = rank(rows[behind], pool.item_idx.shape[1], closed(listed, caps))
            missing = wanted[behind] - best.num_items[behind]
            more, is_short = capped(pool, caps, int(missing.max()), listed)
            _append(best, behind, more, np.minimum(more.num_items, missing))
            behind = behind[is_short & (more.num_items > 0) & (more.num_items < missing)]
    return best, is_capped


def _append(best: Lists, rows: Array, more: Lists, num: Array) -> None:
    """Put the first `num` of each of `more` behind its row's, in place."""
    number, step = np.nonzero(np.arange(more.item_idx.shape[1])[None, :] < num[:, None])
    row = rows[number]
    at = best.num_items[row] + step
    best.item_idx[row, at], best.scores[row, at] = more.item_idx[number, step], more.scores[number, step]
    best.num_items[rows] += num
