"""Ranking by the inner product of vectors, and vectors of length 1. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.forms.form import RankUsers
from recsys_spark.ranking import warm_and_cold
from recsys_spark.ranking.left_out import LeftOut
from recsys_spark.ranking.top_n import Lists
from recsys_spark.ranking.warm_and_cold import Both

Array = NDArray[Any]

_NORMALISED_AT_ONCE = 65_536  # vectors in float64


def by_inner_product(user_vectors: Array, items: Both) -> RankUsers:
    """What ranks the items for users with vectors [B, D]."""

    def rank(rows: Array, group: Array, num_items: int, left_out: LeftOut | None) -> Lists:
        return warm_and_cold.top_n(user_vectors[rows], items, num_items, left_out, group)

    return rank


def directions(item_vectors: Array) -> NDArray[np.float32]:
    """Vectors [V, D + 1] as float32 [V, D] of length 1, without the bias; one without a length stays 0."""
    out = np.empty((len(item_vectors), item_vectors.shape[1] - 1), np.float32)
    for start in range(0, len(out), _NORMALISED_AT_ONCE):
        part = slice(start, start + _NORMALISED_AT_ONCE)
        wide = item_vectors[part, :-1].astype(np.float64)
        norms = np.linalg.norm(wide, axis=1, keepdims=True)
        out[part] = wide / np.where(norms > 0, norms, 1)
    return out
