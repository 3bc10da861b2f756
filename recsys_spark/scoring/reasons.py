"""What speaks for each listed item: the events of the history without which its score would be lowest. NumPy only."""

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
    """Of each listed item, item_idx of the events that raised its score most, and by how much; 0 pads.

    Attributes:
        item_idx, scores: [B, N, R], the greatest first; each event counts for itself, also where an item has two.
    """

    item_idx: NDArray[np.int64]
    scores: NDArray[np.float64]


def nothing(lists: Lists, num_reasons: int) -> Reasons:
    """No reasons yet, R of each item."""
    shape = (*lists.item_idx.shape, num_reasons)
    return Reasons(np.zeros(shape, np.int64), np.zeros(shape))


def take_in(best: Reasons, rows: Array, item_idx: Array, falls: Array) -> None:
    """Put the events of some users among their greatest, in place; of equal ones that taken in first stays before.

    Args:
        rows: [M].
        item_idx: [M], of each user's event.
        falls: [M, N], by how much it raised the score of each listed item; what is not above 0 is no reason.
    """
    falls, ranks = falls[:, :, None], np.arange(best.scores.shape[2])
    own = (best.scores[rows] >= falls).sum(axis=2)[:, :, None]  # [M, N, 1], the rank of the event
    for kept, new in ((best.item_idx, item_idx[:, None, None]), (best.scores, falls)):
        held = kept[rows]
        behind = np.concatenate([held[:, :, :1], held[:, :, :-1]], axis=2)
        kept[rows] = np.where(ranks < own, held, np.where(ranks == own, new, behind))


def by_leaving_out(
    histories: Mapping[str, Array],
    lists: Lists,
    encode: Callable[[Mapping[str, Array]], Array],
    listed_vectors: Array,
    num_reasons: int,
) -> Reasons:
    """Encode each user once without each event, and compare the model's scores of the listed items.

    The score without a user's only event is 0. Events of unknown items are no reasons. Ties: the newer event first.

    Args:
        histories: [B, L] by column, left-padded.
        encode: user vectors [B, D] from histories.
        listed_vectors: [B, N, D], of the listed items.
        num_reasons: R.
    """
    listed = listed_vectors.astype(np.float64)
    items = histories["items"]
    scores = np.einsum("bd,bnd->bn", encode(histories).astype(np.float64), listed)
    is_only = (items > 0).sum(axis=1) == 1
    best = nothing(lists, num_reasons)
    for position in range(items.shape[1] - 1, -1, -1):
        rows = np.flatnonzero(items[:, position] >= _FIRST_IDX)
        if not len(rows):
            continue
        vectors = encode(without_event({n: values[rows] for n, values in histories.items()}, position))
        without = np.einsum("bd,bnd->bn", vectors.astype(np.float64), listed[rows])
        without[is_only[rows]] = 0.0
        falls = np.where(lists.item_idx[rows] > 0, scores[rows] - without, 0.0)
        take_in(best, rows, items[rows, position], falls)
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
