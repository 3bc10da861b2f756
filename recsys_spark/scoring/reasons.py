"""What speaks for each listed item: the event of the history without which its score would be lowest. NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking.top_n import Lists

Array = NDArray[Any]

_FIRST_IDX = 2
_LONGEST_GAP = 2**31 - 1


class Reasons(NamedTuple):
    """Of each listed item [B, N]: item_idx of the event that raised its score most, 0 where none did; by how much."""

    item_idx: NDArray[np.int64]
    scores: NDArray[np.float64]


def nothing(lists: Lists) -> Reasons:
    """No reasons."""
    return Reasons(np.zeros_like(lists.item_idx), np.zeros_like(lists.scores))


def by_leaving_out(
    histories: Mapping[str, Array],
    lists: Lists,
    encode: Callable[[Mapping[str, Array]], Array],
    listed_vectors: Array,
) -> Reasons:
    """Encode each user once without each event, and compare the model's scores of the listed items.

    The score without a user's only event is 0. Events of unknown items are no reasons. Ties: the newer event.

    Args:
        histories: [B, L] by column, left-padded.
        encode: user vectors [B, D] from histories.
        listed_vectors: [B, N, D], of the listed items.
    """
    listed = listed_vectors.astype(np.float64)
    items = histories["items"]
    scores = np.einsum("bd,bnd->bn", encode(histories).astype(np.float64), listed)
    is_only = (items > 0).sum(axis=1) == 1
    best = nothing(lists)
    for position in range(items.shape[1] - 1, -1, -1):
        rows = np.flatnonzero(items[:, position] >= _FIRST_IDX)
        if not len(rows):
            continue
        vectors = encode(without_event({n: values[rows] for n, values in histories.items()}, position))
        without = np.einsum("bd,bnd->bn", vectors.astype(np.float64), listed[rows])
        without[is_only[rows]] = 0.0
        falls = scores[rows] - without
        row, place = np.nonzero((falls > best.scores[rows]) & (lists.item_idx[rows] > 0))
        best.item_idx[rows[row], place] = items[rows[row], position]
        best.scores[rows[row], place] = falls[row, place]
    return best


def without_event(histories: Mapping[str, Array], position: int) -> dict[str, Array]:
    """Histories [B, L] as if the event at `position` had not been: older ones move up, and its gap joins the next."""
    out = {}
    for name, values in histories.items():
        out[name] = values.copy()
        out[name][:, 1 : position + 1] = values[:, :position]
        out[name][:, 0] = 0
    if position + 1 < histories["items"].shape[1]:
        gaps = histories["gaps"].astype(np.int64)
        is_oldest = out["items"][:, position] == 0
        joined = np.minimum(gaps[:, position] + gaps[:, position + 1], _LONGEST_GAP)
        out["gaps"][:, position + 1] = np.where(is_oldest, 0, joined)
    return out
