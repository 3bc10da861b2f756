"""What lists are like apart from being right: coverage, novelty, diversity, share of popular items.

`item_idx` is integer [B, K] by rank, 0 past the list's end. Apart from coverage, which judges all
lists together, each function gives float64 [B] with 0 for an empty list.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Items = NDArray[Any]
Values = NDArray[np.float64]


def coverage_at_k(item_idx: Items, k: int, num_eligible: int) -> float:
    """Distinct items in the first k of any list / items that could be listed; 0 when none could.

    Source: Ge, Delgado-Battenfeld and Jannach 2010, catalogue coverage.
    """
    first = item_idx[:, :k]
    return len(np.unique(first[first > 0])) / num_eligible if num_eligible else 0.0


def novelty_at_k(item_idx: Items, k: int, item_users: NDArray[Any], num_users: int) -> Values:
    """Mean over the first k of log2(users / users of the item): bits of surprise.

    `item_users` [V] counts distinct users; an item without any counts as having one.
    Source: Zhou et al. 2010, mean self-information.
    """
    first = item_idx[:, :k]
    bits = np.log2(max(num_users, 1) / np.maximum(item_users, 1))
    return _mean(np.where(first > 0, bits[first], 0.0), first)


def diversity_at_k(item_idx: Items, k: int, categories: Sequence[Sequence[str]]) -> Values:
    """Mean over pairs of the first k of 1 - cosine of their category indicators; 0 below two items.

    `categories[item_idx]` are distinct; cosine = shared / sqrt(one's x other's number), 0 when either has
    none. Source: Ziegler et al. 2005 (intra-list similarity), as a mean of distances.
    """
    sets = [frozenset(names) for names in categories]
    values = np.zeros(len(item_idx))
    for row, listed in enumerate(item_idx[:, :k]):
        chosen = [sets[i] for i in listed if i > 0]
        pairs = [(a, b) for n, a in enumerate(chosen) for b in chosen[n + 1 :]]
        if pairs:
            values[row] = sum(1.0 - _cosine(a, b) for a, b in pairs) / len(pairs)
    return values


def popularity_share_at_k(item_idx: Items, k: int, is_popular: NDArray[np.bool_]) -> Values:
    """Share of the first k places filled with popular items (`is_popular` [V]: the most popular tenth)."""
    first = item_idx[:, :k]
    return _mean(np.where(first > 0, is_popular[first], 0.0), first)


def _cosine(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / math.sqrt(len(a) * len(b)) if a and b else 0.0


def _mean(values: NDArray[Any], item_idx: Items) -> Values:
    return np.asarray(values.sum(axis=1) / np.maximum((item_idx > 0).sum(axis=1), 1))
