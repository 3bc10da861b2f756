"""What lists are like apart from being right: coverage, novelty, diversity, share of popular items.

`item_idx` is integer [B, K] by rank, 0 past the list's end. Apart from coverage, which judges all
lists together, each function gives float64 [B] with 0 for an empty list, the same bits for a list in
whatever batch it stands.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Items = NDArray[Any]
Values = NDArray[np.float64]


class Categories(NamedTuple):
    """The distinct category numbers of item i: `codes[starts[i] : starts[i + 1]]`, from 0 below `num`."""

    starts: NDArray[np.int64]
    codes: NDArray[np.int32]
    num: int


def coverage_at_k(item_idx: Items, k: int, num_eligible: int) -> float:
    """Distinct items in the first k of any list / items that could be listed; 0 when none could.

    Source: Ge, Delgado-Battenfeld and Jannach 2010, catalogue coverage.
    """
    first = item_idx[:, :k]
    return len(np.unique(first[first > 0])) / num_eligible if num_eligible else 0.0


def self_information(item_users: NDArray[Any], num_users: int) -> Values:
    """Bits [V] of each item: log2(users / users of the item); an item without any counts as having one."""
    return np.asarray(np.log2(max(num_users, 1) / np.maximum(item_users, 1)))


def novelty_at_k(item_idx: Items, k: int, bits: Values) -> Values:
    """Mean over the first k of the items' `self_information` [V]: bits of surprise.

    Source: Zhou et al. 2010, mean self-information.
    """
    first = item_idx[:, :k]
    return _mean(np.where(first > 0, bits[first], 0.0), first)


def diversity_at_k(item_idx: Items, k: int, categories: Categories) -> Values:
    """Mean over pairs of the first k of 1 - cosine of their category indicators; 0 below two items.

    Cosine = shared / sqrt(one's x other's number of categories), 0 when either has none.
    Source: Ziegler et al. 2005 (intra-list similarity), as a mean of distances.
    """
    first = item_idx[:, :k]
    num_items = (first > 0).sum(axis=1)
    pairs = num_items * (num_items - 1) / 2
    from recsys_spark.ranking.cosine_loop import cosines_of  # compiled, and heavy to import

    cosines = cosines_of(first, *categories)
    return np.where(pairs > 0, np.clip(1.0 - cosines / np.maximum(pairs, 1), 0.0, 1.0), 0.0)


def popularity_share_at_k(item_idx: Items, k: int, is_popular: NDArray[np.bool_]) -> Values:
    """Share of the first k places filled with popular items (`is_popular` [V]: the most popular tenth)."""
    first = item_idx[:, :k]
    return _mean(np.where(first > 0, is_popular[first], 0.0), first)


def _mean(values: NDArray[Any], item_idx: Items) -> Values:
    return np.asarray(values.sum(axis=1) / np.maximum((item_idx > 0).sum(axis=1), 1))
