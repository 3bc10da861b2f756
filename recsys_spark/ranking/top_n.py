"""Exact top-N by inner product: float32 finds who may be in the list, float64 decides.

The score of an item is the inner product of its vector and the user's, summed in float64. The
float32 matrix product only discards items whose score cannot reach the list whatever its rounding
did, so the result depends on neither block size nor BLAS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Ints = NDArray[Any]

_RESCORED_AT_ONCE = 1 << 16  # survivors gathered in float64 at a time: bounds memory when thousands tie


@dataclass(frozen=True)
class Candidates:
    """The items that may be listed, packed for the matrix product.

    Attributes:
        item_idx: int64 [C], ascending.
        vectors: [C, D] as given; what the float64 score is made of.
        vectors32: float32 [C, D].
        max_norm: largest Euclidean norm of a vector.
        position: int64 [V], place of an item in `item_idx`; -1 when it may not be listed.
    """

    item_idx: Ints
    vectors: Floats
    vectors32: NDArray[np.float32]
    max_norm: float
    position: Ints


@dataclass(frozen=True)
class Lists:
    """Top lists of B users: item_idx int64 [B, N] (0 pads the end), scores float64 [B, N], num_items [B]."""

    item_idx: Ints
    scores: NDArray[np.float64]
    num_items: Ints


def candidates(item_vectors: Floats, is_allowed: NDArray[np.bool_]) -> Candidates:
    """Keep the rows of `item_vectors` [V, D] where `is_allowed` [V].

    Raises:
        ValueError: a kept vector holds a NaN or an infinity.
    """
    item_idx = np.flatnonzero(is_allowed)
    vectors = np.ascontiguousarray(item_vectors[item_idx])
    if not np.isfinite(vectors).all():
        raise ValueError(f"vector of item_idx {item_idx[~np.isfinite(vectors).all(axis=1)][0]} is not finite")
    position = np.full(len(is_allowed), -1, dtype=np.int64)
    position[item_idx] = np.arange(len(item_idx))
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return Candidates(
        item_idx, vectors, vectors.astype(np.float32, copy=False), float(norms.max(initial=0.0)), position
    )


def top_n(
    user_vectors: Floats, items: Candidates, num_items: int, left_out: tuple[Ints, Ints] | None = None
) -> Lists:
    """The `num_items` best candidates of each user, by score descending, ties by item_idx ascending.

    Args:
        user_vectors: [B, D]; the matrix product takes all B at once, so B bounds the memory (B x C).
        left_out: (user row, item_idx) pairs that may not be listed; unknown items are ignored.

    Raises:
        ValueError: a user vector holds a NaN or an infinity.
    """
    if not np.isfinite(user_vectors).all():
        raise ValueError("a user vector is not finite")
    scores = user_vectors.astype(np.float32) @ items.vectors32.T
    if left_out is not None:
        rows, item_idx = left_out
        known = (item_idx >= 0) & (item_idx < len(items.position))
        columns = np.where(known, items.position[np.where(known, item_idx, 0)], -1)
        scores[rows[columns >= 0], columns[columns >= 0]] = -np.inf
    floor = _floor(scores, num_items) - 2 * _error_bound(user_vectors, items)
    # Rounded down to float32, so that the comparison below makes no float64 copy of all scores.
    floor32 = np.nextafter(floor.astype(np.float32), np.float32(-np.inf))
    floor32 = np.maximum(floor32, np.finfo(np.float32).min)  # what is left out scores -inf
    rows, columns = np.divmod(np.flatnonzero(scores >= floor32[:, None]), max(scores.shape[1], 1))
    exact = _rescore(user_vectors, items, rows, columns)
    return _first(rows, items.item_idx[columns], exact, len(user_vectors), num_items)


def _floor(scores: NDArray[np.float32], num_items: int) -> NDArray[np.float64]:
    """Each user's N-th best float32 score [B]; -inf when there are no more candidates than N.

    NumPy's partition is vectorised: it costs less than the maxima of blocks that would bound it.
    """
    num_users, num_candidates = scores.shape
    if num_candidates <= num_items:
        return np.full(num_users, -np.inf)
    nth = num_candidates - num_items
    return np.partition(scores, nth, axis=1)[:, nth].astype(np.float64)


def _error_bound(user_vectors: Floats, items: Candidates) -> NDArray[np.float64]:
    """How far a float32 score may lie from the true one [B], whatever the order of its D additions.

    Source: Higham, Accuracy and Stability of Numerical Algorithms, 3.1: gamma_D |u|.|v|, and
    |u|.|v| <= ||u|| ||v||. Differs: D + 4 for D, which covers both casts to float32, and twice the unit
    roundoff for slack.
    """
    num_terms = user_vectors.shape[1] + 4
    norms = np.linalg.norm(user_vectors.astype(np.float64), axis=1)
    bound = num_terms * float(np.finfo(np.float32).eps) * norms * items.max_norm
    return np.asarray(bound + num_terms * float(np.finfo(np.float32).tiny))


def _rescore(user_vectors: Floats, items: Candidates, rows: Ints, columns: Ints) -> NDArray[np.float64]:
    exact = np.empty(len(rows), dtype=np.float64)
    for start in range(0, len(rows), _RESCORED_AT_ONCE):
        part = slice(start, start + _RESCORED_AT_ONCE)
        products = user_vectors[rows[part]].astype(np.float64) * items.vectors[columns[part]]
        exact[part] = products.sum(axis=1)  # each row alone, so in one order whatever its neighbours
    return exact


def _first(rows: Ints, item_idx: Ints, scores: Floats, num_users: int, num_items: int) -> Lists:
    order = np.lexsort((item_idx, -scores, rows))
    rows, item_idx, scores = rows[order], item_idx[order], scores[order]
    found = np.bincount(rows, minlength=num_users)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(found) - found, found)
    listed = place < num_items
    out = np.zeros((num_users, num_items), dtype=np.int64)
    out_scores = np.zeros((num_users, num_items), dtype=np.float64)
    out[rows[listed], place[listed]] = item_idx[listed]
    out_scores[rows[listed], place[listed]] = scores[listed]
    return Lists(out, out_scores, np.minimum(found, num_items))
