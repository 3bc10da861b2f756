"""What users may not get, as pairs (user row, item_idx). NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking.top_n import Lists

Array = NDArray[Any]
LeftOut = tuple[Array, Array]
NONE: LeftOut = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def of_lists(lists: Lists) -> LeftOut:
    """Every listed item."""
    rows, ranks = np.nonzero(lists.item_idx)
    return rows, lists.item_idx[rows, ranks]


def together(*parts: LeftOut) -> LeftOut:
    """All of them, one after the other."""
    parts = tuple(part for part in parts if len(part[0])) or parts[:1]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def of_rows(left_out: LeftOut, rows: Array, num_users: int) -> LeftOut:
    """The pairs of these users, numbered by their place in `rows`."""
    if len(rows) == num_users:
        return left_out
    number = np.full(num_users, -1)
    number[rows] = np.arange(len(rows))
    renumbered = number[left_out[0]]
    kept = renumbered >= 0
    return renumbered[kept], left_out[1][kept]


def without(lists: Lists, left_out: LeftOut) -> Lists:
    """The lists less what may not be listed; what follows moves up."""
    if not len(left_out[0]):
        return lists
    width = np.int64(2) ** 32
    codes = np.arange(len(lists.item_idx))[:, None] * width + lists.item_idx
    is_kept = (lists.item_idx > 0) & ~np.isin(codes, left_out[0].astype(np.int64) * width + left_out[1])
    order = np.argsort(~is_kept, axis=1, kind="stable")
    item_idx, scores = (
        np.take_along_axis(np.where(is_kept, values, 0), order, axis=1)
        for values in (lists.item_idx, lists.scores)
    )
    return Lists(item_idx, scores, is_kept.sum(axis=1))
