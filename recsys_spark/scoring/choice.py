"""From rankings to the items of lists: as many as are wanted, within caps, re-ordered. NumPy only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking.caps import Caps, capped
from recsys_spark.ranking.top_n import Lists, empty_lists

Array = NDArray[Any]
Rank = Callable[[Array, int], Lists]
Reorder = Callable[[Array, Lists], Lists]

_GROWTH = 4


def chosen(
    rank: Rank,
    wanted: Array,
    num_items: int,
    pool_items: int,
    limits: Caps | None = None,
    placed: Array | None = None,
    reorder: Reorder | None = None,
) -> tuple[Lists, NDArray[np.bool_]]:
    """The first `wanted` [B] items of each user's ranking that the caps allow, and whose caps dropped some [B].

    A pool in which the caps leave too few is ranked again, four times as long, until its end: the list is
    that of the whole ranking.

    Args:
        rank: gives the best so many for some of the users, by their rows.
        num_items: N, the greatest number wanted.
        pool_items: the first pool's length.
        placed: item_idx [B, E], 0 pads: what the lists hold already; it counts for the caps.
        reorder: gives a pool's own N, for some rows.
    """
    is_capped = np.zeros(len(wanted), np.bool_)
    rows, size = np.flatnonzero(wanted > 0), max(pool_items, num_items)
    if limits is None and reorder is None and len(rows) and (wanted == num_items).all():
        return rank(rows, num_items), is_capped
    lists = empty_lists(len(wanted), num_items)
    while len(rows):
        pool = rank(rows, size)
        kept, is_short = pool, np.zeros(len(rows), np.bool_)
        if limits is not None:
            own = None if placed is None else placed[rows]
            kept, is_short = capped(pool, limits, size if reorder else num_items, own)
            is_capped[rows] = kept.num_items < np.minimum(pool.num_items, wanted[rows])
        if reorder is not None:
            kept = reorder(rows, kept)
        done = ~is_short | (kept.num_items >= wanted[rows])
        _put(lists, rows[done], kept, done, wanted)
        rows, size = rows[~done], size * _GROWTH
    return lists, is_capped


def _put(lists: Lists, rows: Array, kept: Lists, done: Array, wanted: Array) -> None:
    num = np.minimum(kept.num_items[done], wanted[rows])
    width = min(kept.item_idx.shape[1], lists.item_idx.shape[1])
    is_kept = np.arange(width)[None, :] < num[:, None]
    lists.item_idx[rows, :width] = np.where(is_kept, kept.item_idx[done, :width], 0)
    lists.scores[rows, :width] = np.where(is_kept, kept.scores[done, :width], 0.0)
    lists.num_items[rows] = num
