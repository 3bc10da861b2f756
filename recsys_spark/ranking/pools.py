"""A pool: the first P of each user's ranking, from which a shorter list is chosen; what its loops ask of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking.top_n import Lists

Array = NDArray[Any]


def checked(pool: Lists, vocabulary: int) -> tuple[Array, Array, Array]:
    """Its item_idx, scores and num_items, as the loops take them.

    Args:
        vocabulary: V; every item of the pool lies below.

    Raises:
        ValueError: the arrays do not fit each other or V, or a score is not finite; machine code reads them
            without looking.
    """
    shape, num = pool.item_idx.shape, pool.num_items
    if pool.scores.shape != shape or num.shape != shape[:1]:
        raise ValueError(
            f"pool: item_idx {shape}, scores {pool.scores.shape} and num_items {num.shape} differ"
        )
    if len(num) and not 0 <= num.min() <= num.max() <= shape[1]:
        raise ValueError(f"pool: expected 0 to {shape[1]} items a user, got {num.min()} to {num.max()}")
    check_items(pool.item_idx, vocabulary, "pool")
    if not np.isfinite(pool.scores).all():
        raise ValueError("pool: a score is not finite")
    return fixed(pool.item_idx, np.int64), fixed(pool.scores, np.float64), fixed(num, np.int64)


def check_items(item_idx: Array, vocabulary: int, where: str) -> None:
    """Refuse item_idx outside 0 to V - 1; padding is 0, also when V is 0.

    Raises:
        ValueError: there is one.
    """
    low, high = int(item_idx.min(initial=0)), int(item_idx.max(initial=0))
    if low < 0 or high >= max(vocabulary, 1):
        raise ValueError(f"{where}: item_idx {low if low < 0 else high} is not among {vocabulary} items")


def fixed(array: Array, dtype: Any) -> Array:
    """A view that cannot be written, as a memory map is: one type, so the code is compiled once."""
    view = np.ascontiguousarray(array, dtype).view(np.ndarray)
    view.flags.writeable = False
    return view
