"""The float32 half of the exact top-N in plain NumPy, for where `survivors` cannot be compiled.

The lists are the same, as float64 decides them; it takes longer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def find(
    users: Array, vectors: Array, kind: Array, offsets: Array, row_of: Array, error: Array,
    unwanted: Array, starts: Array, num_items: int, width: int,
    kept: Array, scores: Array, count: Array, is_wide: Array,
) -> None:  # fmt: skip
    """As `survivors.find`: what a user's float64 score may bring into the list, and few more."""
    num_users = len(users)
    items: list[Array] = [np.zeros(0, np.int64)] * num_users
    best: list[Array] = [np.zeros(0, np.float32)] * num_users
    owner, unwanted = np.repeat(np.arange(num_users), np.diff(starts)), unwanted[starts[0] : starts[-1]]
    for start in range(0, len(kind), width):
        stop = min(start + width, len(kind))
        with np.errstate(over="ignore", invalid="ignore"):  # users whose scores overflow are wide
            block = users @ vectors[start:stop].astype(np.float32).T + offsets[:, kind[start:stop]][row_of]
        is_here = (unwanted >= start) & (unwanted < stop)
        block[owner[is_here], unwanted[is_here] - start] = -np.inf
        for user in np.flatnonzero(~is_wide):
            reached = np.flatnonzero(block[user] > -np.inf)
            items[user] = np.concatenate([items[user], start + reached])
            best[user] = np.concatenate([best[user], block[user, reached]])
            if len(best[user]) > num_items:
                nth = -np.partition(-best[user], max(num_items - 1, 0))[max(num_items - 1, 0)]
                is_near = best[user] >= np.float32(float(nth) - 2 * error[user])
                items[user], best[user] = items[user][is_near], best[user][is_near]
    for user in np.flatnonzero(~is_wide):
        if len(items[user]) > kept.shape[1]:
            is_wide[user] = True
            continue
        count[user] = len(items[user])
        kept[user, : count[user]], scores[user, : count[user]] = items[user], best[user]
    count[is_wide] = 0
