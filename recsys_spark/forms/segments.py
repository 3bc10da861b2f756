"""The form `segments`: the items of each segment, most popular first, in arrays as long as the counts.

Within a segment items stand by the segment's popularity; behind all of them stand the items that are
popular only elsewhere, by the popularity among everybody, with scores below the segment's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EVERYBODY = ""


@dataclass(frozen=True)
class Segments:
    """Fitted counts; those of segment s lie at `starts[s] : starts[s + 1]`, by score descending, then item_idx.

    Attributes:
        segments: S names, '' (everybody) first.
        starts: int64 [S + 1].
        item_idx: int32 [number of counts].
        scores: float64 [number of counts], above 0.
        factors: float64 [S]; what everybody's score is multiplied by behind the segment's own items.
    """

    segments: tuple[str, ...]
    starts: NDArray[np.int64]
    item_idx: NDArray[np.int32]
    scores: NDArray[np.float64]
    factors: NDArray[np.float64]

    def numbers(self, segments: Sequence[str | None]) -> NDArray[np.int64]:
        """The number [B] of each segment; an unknown one or none is everybody's, 0."""
        number = {segment: n for n, segment in enumerate(self.segments)}
        return np.array([number.get(segment or EVERYBODY, 0) for segment in segments], dtype=np.int64)


def fit(segments: Sequence[str], item_idx: NDArray[Any], popularity: NDArray[Any]) -> Segments:
    """Arrange counts by segment.

    Args:
        segments: of each count; '' stands for all users.
        item_idx: of each count.
        popularity: of each count, above 0; becomes the score in its segment.
    """
    names = (EVERYBODY, *sorted(set(segments) - {EVERYBODY}))
    number = {segment: n for n, segment in enumerate(names)}
    of_segment = np.array([number[segment] for segment in segments], dtype=np.int64)
    order = np.lexsort((item_idx, -popularity, of_segment))
    starts = np.searchsorted(of_segment[order], np.arange(len(names) + 1))
    scores = popularity[order].astype(np.float64)
    factors = np.ones(len(names))
    for n in range(1, len(names)):
        # At most half the segment's least popularity: below every item of the segment, in everybody's order.
        factors[n] = 0.5 * scores[starts[n + 1] - 1] / scores[: starts[1]].max(initial=scores[starts[n]])
    return Segments(names, starts, item_idx[order].astype(np.int32), scores, factors)
