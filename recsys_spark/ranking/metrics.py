"""Accuracy of lists: one definition each, on the relevance of the listed items.

`hits` is boolean [B, K]: is the item at rank 1..K one of the user's truth; False past the list's end.
`num_truth` is integer [B], at least 1: a user without truth is not judged and is left out before.
Each metric gives float64 [B], between 0 and 1; a user without a list has no hit and so 0 (accuracy
aside). A list shorter than k is judged as if its missing places held misses. A user's value has the
same bits in whatever batch it stands, K being the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.bool_]
Counts = NDArray[Any]
Values = NDArray[np.float64]


def hits_of(item_idx: Counts, truth: Counts, num_truth: Counts) -> Hits:
    """Which listed items [B, K] are truth: `truth` holds the items of row after row, `num_truth` [B] of each.

    Items are positive and below 2^31; 0 past the list's end.
    """
    rows = np.arange(len(item_idx), dtype=np.int64) << 31
    wanted = np.append(np.sort(np.repeat(rows, num_truth) + truth), -1)  # -1 equals no key
    keys = rows[:, None] + item_idx
    return np.asarray(wanted[np.searchsorted(wanted[:-1], keys)] == keys)


def recall_at_k(hits: Hits, num_truth: Counts, k: int) -> Values:
    """Hits in the first k / truth items. Source: trec_eval recall_k."""
    return np.asarray(hits[:, :k].sum(axis=1) / num_truth)


def precision_at_k(hits: Hits, num_truth: Counts, k: int) -> Values:
    """Hits in the first k / k, also when the list is shorter. Source: trec_eval P_k."""
    return np.asarray(hits[:, :k].sum(axis=1) / k)


def f1_at_k(hits: Hits, num_truth: Counts, k: int) -> Values:
    """Harmonic mean of precision and recall = 2 hits / (k + truth items); 0 without a hit."""
    return np.asarray(2 * hits[:, :k].sum(axis=1) / (k + num_truth))


def ndcg_at_k(hits: Hits, num_truth: Counts, k: int) -> Values:
    """Sum over hits of 1 / log2(rank + 1), divided by that sum for a perfect list of k.

    Source: Jarvelin and Kekalainen 2002 with binary gains; trec_eval ndcg_cut_k.
    """
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    gained = (hits[:, :k] * discounts[: hits[:, :k].shape[1]]).sum(axis=1)
    ideal = np.cumsum(discounts)[np.minimum(num_truth, k) - 1]
    return np.asarray(gained / ideal)


def map_at_k(hits: Hits, num_truth: Counts, k: int) -> Values:
    """Sum over hits of the precision at their rank / truth items. Source: trec_eval map_cut_k.

    Differs from the variant that divides by min(k, truth items).
    """
    first = hits[:, :k]
    precision = np.cumsum(first, axis=1) / np.arange(1, first.shape[1] + 1)
    return np.asarray((precision * first).sum(axis=1) / num_truth)


def mrr_at_k(hits: Hits, num_truth: Counts, k: int) -> Values:
    """1 / rank of the first hit among the first k; 0 without one. Source: trec_eval recip_rank."""
    first = hits[:, :k]
    rank = first.argmax(axis=1) + 1 if first.shape[1] else np.ones(len(first))
    return np.asarray(first.any(axis=1) / rank)


def hit_rate_at_k(hits: Hits, num_truth: Counts, k: int) -> Values:
    """1 with a hit among the first k, else 0. Source: trec_eval success_k."""
    return np.asarray(hits[:, :k].any(axis=1), dtype=np.float64)


def accuracy_at_k(hits: Hits, num_truth: Counts, k: int, num_listed: Counts, num_catalogue: int) -> Values:
    """Share of the catalogue put on the right side: listed and in the truth, or neither.

    (catalogue - listed - truth + 2 hits) / catalogue, with `num_listed` [B] the places really filled,
    at most k of which count. A user without a list is right about every item outside the truth.
    """
    wrong = np.minimum(num_listed, k) + num_truth - 2 * hits[:, :k].sum(axis=1)
    return np.asarray(1.0 - wrong / num_catalogue)
