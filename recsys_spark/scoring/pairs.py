"""Pairs (user row, item_idx): what may not be listed. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking.top_n import Lists

Array = NDArray[Any]
Pairs = tuple[Array, Array]
NONE: Pairs = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def of_lists(lists: Lists) -> Pairs:
    """Every listed item."""
    rows, places = np.nonzero(lists.item_idx)
    return rows, lists.item_idx[rows, places]


def together(*pairs: Pairs) -> Pairs:
    """All of them, one after the other."""
    some = [pair for pair in pairs if len(pair[0])] or [pairs[0]]
    if len(some) == 1:
        return some[0]
    return np.concatenate([pair[0] for pair in some]), np.concatenate([pair[1] for pair in some])


def of_rows(pairs: Pairs, rows: Array, num_users: int) -> Pairs:
    """The pairs of these users, numbered by their place in `rows`."""
    if len(rows) == num_users:
        return pairs
    place = np.full(num_users, -1)
    place[rows] = np.arange(len(rows))
    renumbered = place[pairs[0]]
    kept = renumbered >= 0
    return renumbered[kept], pairs[1][kept]
