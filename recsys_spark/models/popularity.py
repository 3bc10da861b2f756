"""Popularity in the `vectors` form: a column of scores per segment; a user's vector picks the column.

Within a segment items stand by the segment's popularity; below all of them stand the items that are
popular only elsewhere, by the popularity among everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EVERYBODY = ""


@dataclass(frozen=True)
class Popularity:
    """Fitted counts: `segments` S names ('' first), `item_vectors` float64 [V, S], `is_known` bool [V]."""

    segments: tuple[str, ...]
    item_vectors: NDArray[np.float64]
    is_known: NDArray[np.bool_]

    def user_vectors(self, segments: Sequence[str | None]) -> NDArray[np.float64]:
        """One-hot [B, S]; an unknown segment or none picks everybody's column."""
        column = {segment: number for number, segment in enumerate(self.segments)}
        picked = np.array([column.get(segment or EVERYBODY, 0) for segment in segments], dtype=np.int64)
        return np.eye(len(self.segments))[picked]


def fit(
    segments: Sequence[str], item_idx: NDArray[Any], popularity: NDArray[Any], vocabulary: int
) -> Popularity:
    """Arrange counts as vectors.

    Args:
        segments: of each count; '' stands for all users.
        item_idx: of each count, below `vocabulary`.
        popularity: of each count, above 0; becomes the score in its segment.
        vocabulary: V, one above the greatest item_idx known today.
    """
    names = (EVERYBODY, *sorted(set(segments) - {EVERYBODY}))
    column = {segment: number for number, segment in enumerate(names)}
    vectors = np.zeros((vocabulary, len(names)))
    vectors[item_idx, [column[segment] for segment in segments]] = popularity
    everybody = vectors[:, 0]
    is_known = everybody > 0
    for number in range(1, len(names)):
        own = vectors[:, number]
        # At most half the segment's least popularity: below every item of the segment, in global order.
        below = 0.5 * own[own > 0].min(initial=np.inf) * everybody / everybody.max(initial=0.0)
        vectors[:, number] = np.where(own > 0, own, below)
    return Popularity(names, vectors, is_known)
