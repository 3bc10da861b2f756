"""Exact top-N by inner product: float32 finds who may be in the list, float64 decides.

The score of an item is the inner product of its vector and the user's, summed in float64 in one fixed
order. The float32 matrix product only discards items whose score cannot reach the list whatever its
rounding did, so the result depends on neither block size nor BLAS. Items are taken a block at a time:
memory grows with neither the catalogue nor the longest history.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking import exact_order, survivors, survivors_plain

log = logging.getLogger(__name__)

_is_plain = False  # whether machine code could not be made in this process

Floats = NDArray[Any]
Ints = NDArray[Any]

BLOCK_USERS = 1024
_BLOCK_BYTES = 16 << 20  # of survivors
_NORM_ITEMS = 32_768  # whose norms are worked out at a time
_SAFE = 1e30  # a bound of errors below which no sum in float32 overflows


@dataclass(frozen=True)
class Candidates:
    """The items that may be listed.

    Attributes:
        vectors: [V, D] by item_idx, as given (perhaps a memory map).
        kind: int32 [V].
        offsets: float64 [G, K]; `offsets[g, kind[i]]` is added to the scores of item i for users of group g;
            -inf: they may not get it.
        max_norm: largest Euclidean norm of a vector that may be listed.
    """

    vectors: Floats
    kind: NDArray[np.int32]
    offsets: NDArray[np.float64]
    max_norm: float


@dataclass(frozen=True)
class Lists:
    """Top lists of B users: item_idx int64 [B, N] (0 pads the end), scores float64 [B, N], num_items [B]."""

    item_idx: Ints
    scores: NDArray[np.float64]
    num_items: Ints


def empty_lists(num_users: int, num_items: int) -> Lists:
    """Lists of B users with N places, nothing in them yet: for a loop to fill."""
    return Lists(
        np.zeros((num_users, num_items), np.int64),
        np.zeros((num_users, num_items)),
        np.zeros(num_users, np.int64),
    )


def is_filled(lists: Lists) -> NDArray[np.bool_]:
    """Which places [B, N] hold an item."""
    return np.arange(lists.item_idx.shape[1])[None, :] < lists.num_items[:, None]


def blocks(dim: int, num_items: int) -> tuple[int, int]:
    """Items and users of a block, for vectors of `dim` numbers and lists of `num_items`.

    Users give way where their survivors are many.
    """
    users = max(2, min(BLOCK_USERS, _BLOCK_BYTES // (8 * survivors.cells_of(num_items))))
    return survivors.block_items(dim), users


ALLOWED = np.array([[-np.inf, 0.0]])  # the offsets of one group: kind 1 may be listed, kind 0 not


def candidates(item_vectors: Floats, kind: Ints, offsets: Floats = ALLOWED) -> Candidates:
    """Items with vectors [V, D] and kinds [V] that some group may get; the vectors are not copied.

    Args:
        kind: with the given offsets, a mask of what may be listed.

    Raises:
        ValueError: a vector that may be listed holds a NaN or an infinity, vectors hold nothing, or an offset
            is NaN or +inf.
    """
    if not item_vectors.shape[1]:
        raise ValueError("item vectors of no numbers")
    if not (offsets < np.inf).all():
        raise ValueError("an offset is neither finite nor -inf")
    is_allowed = np.asarray(np.any(offsets > -np.inf, axis=0))[kind.astype(np.int32)]
    largest = 0.0
    for start in range(0, len(item_vectors), _NORM_ITEMS):
        part = item_vectors[start : start + _NORM_ITEMS]
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            squares = np.einsum("vd,vd->v", part, part, dtype=np.float64)
        squares[~is_allowed[start : start + _NORM_ITEMS]] = 0
        if not np.isfinite(squares).all():
            raise ValueError(
                f"vector of item_idx {start + np.flatnonzero(~np.isfinite(squares))[0]} is not finite"
            )
        largest = max(largest, float(np.sqrt(squares.max(initial=0.0))))
    return Candidates(item_vectors, kind.astype(np.int32), offsets, largest)


def top_n(
    user_vectors: Floats,
    items: Candidates,
    num_items: int,
    left_out: tuple[Ints, Ints] | None = None,
    group: Ints | None = None,
) -> Lists:
    """The `num_items` best candidates of each user, by score descending, ties by item_idx ascending.

    Args:
        user_vectors: [B, D].
        left_out: (user row, item_idx) pairs that may not be listed, in any order; unknown items are ignored.
        group: [B], below G; None: everybody is in group 0.

    Raises:
        ValueError: a user vector holds a NaN or an infinity, or is not as long as the items'.
    """
    if user_vectors.shape[1] != items.vectors.shape[1]:
        raise ValueError(f"users of {user_vectors.shape[1]} numbers, items of {items.vectors.shape[1]}")
    if not np.isfinite(user_vectors).all():
        raise ValueError("a user vector is not finite")
    starts, unwanted = by_user(left_out, len(user_vectors), len(items.kind))
    group = np.zeros(len(user_vectors), np.int64) if group is None else group.astype(np.int64)
    out = empty_lists(len(user_vectors), num_items)
    width, block_users = blocks(user_vectors.shape[1], num_items)
    for first in range(0, len(user_vectors), block_users):
        rows = slice(first, first + block_users)
        users_starts = starts[first : first + block_users + 1]
        _block(user_vectors[rows], group[rows], items, users_starts, unwanted, width, out, rows)
    return out


def _block(
    users: Floats, group: Ints, items: Candidates, starts: Ints, unwanted: Ints, width: int, out: Lists,
    rows: slice,
) -> None:  # fmt: skip
    num_items = out.item_idx.shape[1]
    groups, row_of = np.unique(group, return_inverse=True)
    offsets32 = items.offsets[groups].astype(np.float32)
    with np.errstate(over="ignore"):
        users32, error = users.astype(np.float32), _error_bound(users, items)
    is_wide = ~(np.isfinite(users32).all(axis=1) & (error < _SAFE)) | (items.max_norm >= _SAFE)
    cells = len(users), survivors.cells_of(num_items)
    kept, scores, count = (
        np.empty(cells, np.int32),
        np.empty(cells, np.float32),
        np.empty(len(users), np.int64),
    )
    _find(
        users32, items.vectors, items.kind, offsets32, row_of, error, unwanted, starts, num_items, width,
        kept, scores, count, is_wide,
    )  # fmt: skip
    exact_order.decide(
        users.astype(np.float64), group, items.vectors, items.kind, items.offsets, unwanted, starts,
        kept, count, is_wide, out.item_idx[rows], out.scores[rows], out.num_items[rows],
    )  # fmt: skip


def _find(*arguments: Any) -> None:
    """`survivors.find`, or the plain way once that could not be compiled here."""
    global _is_plain
    if not _is_plain:
        try:
            survivors.find(*arguments)
            return
        except Exception as error:  # whatever numba and LLVM raise; machine code itself raises nothing
            _is_plain = True
            log.warning("top_n_not_compiled: ranking is slower; %s", " ".join(str(error).split())[:200])
    survivors_plain.find(*arguments)


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
    roundoff for slack. An offset is rounded once, and once more when it is added.
    """
    num_terms = user_vectors.shape[1] + 6
    norms = np.linalg.norm(user_vectors.astype(np.float64), axis=1)
    largest = np.abs(items.offsets[np.isfinite(items.offsets)]).max(initial=0.0)
    bound = float(np.finfo(np.float32).eps) * (num_terms * norms * items.max_norm + 2 * largest)
    return np.asarray(bound + num_terms * float(np.finfo(np.float32).tiny))
