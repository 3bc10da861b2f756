"""Exact top-N by inner product: float32 finds who may be in the list, float64 decides.

The score of an item is the inner product of its vector and the user's, summed in float64 in one fixed
order. The float32 matrix product only discards items whose score cannot reach the list whatever its
rounding did, so the result depends on neither block size nor BLAS. Items are taken a block at a time:
memory grows with neither the catalogue nor the longest history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking import survivors

Floats = NDArray[Any]
Ints = NDArray[Any]

BLOCK_ITEMS = 32_768  # columns of the matrix product at a time
BLOCK_USERS = 256  # its rows: at most 32 MiB of scores


@dataclass(frozen=True)
class Candidates:
    """The items that may be listed.

    Attributes:
        vectors: [V, D] by item_idx, as given (perhaps a memory map): what the float64 score is made of.
        vectors32: float32 [V, D], the same memory when they are float32 already.
        offsets: float32 [V], 0 where an item may be listed, -inf where not.
        max_norm: largest Euclidean norm of a vector that may be listed.
    """

    vectors: Floats
    vectors32: NDArray[np.float32]
    offsets: NDArray[np.float32]
    max_norm: float


@dataclass(frozen=True)
class Lists:
    """Top lists of B users: item_idx int64 [B, N] (0 pads the end), scores float64 [B, N], num_items [B]."""

    item_idx: Ints
    scores: NDArray[np.float64]
    num_items: Ints


def candidates(item_vectors: Floats, is_allowed: NDArray[np.bool_]) -> Candidates:
    """The rows of `item_vectors` [V, D] where `is_allowed` [V]; float32 vectors are not copied.

    Raises:
        ValueError: an allowed vector holds a NaN or an infinity.
    """
    largest = 0.0
    for start in range(0, len(item_vectors), BLOCK_ITEMS):
        part = slice(start, start + BLOCK_ITEMS)
        norms = np.linalg.norm(
            np.where(is_allowed[part, None], item_vectors[part], 0).astype(np.float64), axis=1
        )
        if not np.isfinite(norms).all():
            raise ValueError(
                f"vector of item_idx {start + np.flatnonzero(~np.isfinite(norms))[0]} is not finite"
            )
        largest = max(largest, float(norms.max(initial=0.0)))
    offsets = np.where(is_allowed, np.float32(0), np.float32(-np.inf)).astype(np.float32)
    return Candidates(item_vectors, item_vectors.astype(np.float32, copy=False), offsets, largest)


def top_n(
    user_vectors: Floats, items: Candidates, num_items: int, left_out: tuple[Ints, Ints] | None = None
) -> Lists:
    """The `num_items` best candidates of each user, by score descending, ties by item_idx ascending.

    Args:
        user_vectors: [B, D].
        left_out: (user row, item_idx) pairs that may not be listed, in any order; unknown items are ignored.

    Raises:
        ValueError: a user vector holds a NaN or an infinity.
    """
    if not np.isfinite(user_vectors).all():
        raise ValueError("a user vector is not finite")
    starts, unwanted = by_user(left_out, len(user_vectors), len(items.offsets))
    out = Lists(
        np.zeros((len(user_vectors), num_items), np.int64),
        np.zeros((len(user_vectors), num_items)),
        np.zeros(len(user_vectors), np.int64),
    )
    for first in range(0, len(user_vectors), BLOCK_USERS):
        rows = slice(first, first + BLOCK_USERS)
        _block(user_vectors[rows], items, starts[first : first + BLOCK_USERS + 1], unwanted, out, first)
    return out


def _block(users: Floats, items: Candidates, starts: Ints, unwanted: Ints, out: Lists, first: int) -> None:
    num_items, vocabulary = out.item_idx.shape[1], len(items.offsets)
    found = survivors.nobody(len(users), num_items)
    users32 = users.astype(np.float32)
    error = _error_bound(users, items)
    next_unwanted = starts[:-1].copy()
    space = np.empty(len(users) * min(BLOCK_ITEMS, vocabulary), np.float32)
    for start in range(0, vocabulary, BLOCK_ITEMS):
        vectors = items.vectors32[start : start + BLOCK_ITEMS]
        scores = space[: len(users) * len(vectors)].reshape(len(users), len(vectors))
        np.matmul(users32, vectors.T, out=scores)
        offsets = items.offsets[start : start + BLOCK_ITEMS]
        survivors.add(scores, offsets, start, error, num_items, unwanted, next_unwanted, starts[1:], *found)
    rows = slice(first, first + len(users))
    survivors.decide(
        users.astype(np.float64), items.vectors, items.offsets, error, unwanted, starts,
        out.item_idx[rows], out.scores[rows], out.num_items[rows], *found,
    )  # fmt: skip


def by_user(left_out: tuple[Ints, Ints] | None, num_users: int, vocabulary: int) -> tuple[Ints, Ints]:
    """Where each user's items start [B + 1], and the known items left out, ascending within a user."""
    if left_out is None:
        return np.zeros(num_users + 1, np.int64), np.zeros(0, np.int64)
    rows, item_idx = (np.asarray(part, np.int64) for part in left_out)
    known = (item_idx >= 0) & (item_idx < vocabulary)
    if not known.all():
        rows, item_idx = rows[known], item_idx[known]
    place = rows * vocabulary + item_idx
    if (place[1:] < place[:-1]).any():  # seen items arrive in order
        place = np.sort(place)
        rows, item_idx = np.divmod(place, vocabulary)
    return np.searchsorted(rows, np.arange(num_users + 1)), item_idx


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
