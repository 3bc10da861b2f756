"""What speaks for each listed item: the items of the history without which its score would be lowest. NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking.top_n import Lists
from recsys_spark.tables import FIRST_IDX

Array = NDArray[Any]

_LONGEST_GAP = 2**31 - 1


class Reasons(NamedTuple):
    """Of each listed item, the item_idx of the history that raised its score most, and by how much; 0 pads.

    Attributes:
        item_idx, scores: [B, N, R], the greatest first; an item's events count together.
    """

    item_idx: NDArray[np.int64]
    scores: NDArray[np.float64]


def nothing(lists: Lists, num_reasons: int) -> Reasons:
    """No reasons yet, R of each item."""
    shape = (*lists.item_idx.shape, num_reasons)
    return Reasons(np.zeros(shape, np.int64), np.zeros(shape))


def take_in(best: Reasons, rows: Array, item_idx: Array, falls: Array) -> None:
    """Put an item of some users' histories among their greatest, in place; of equal ones that taken in first stays.

    Args:
        rows: [M].
        item_idx: [M], of each user.
        falls: [M, N], by how much it raised the score of each listed item; what is not above 0 is no reason.
    """
    falls, ranks = falls[:, :, None], np.arange(best.scores.shape[2])
    rank = (best.scores[rows] >= falls).sum(axis=2)[:, :, None]  # [M, N, 1], the rank of the item
    for kept, new in ((best.item_idx, item_idx[:, None, None]), (best.scores, falls)):
        held = kept[rows]
        behind = np.concatenate([held[:, :, :1], held[:, :, :-1]], axis=2)
        kept[rows] = np.where(ranks < rank, held, np.where(ranks == rank, new, behind))


def of_same_item(items: Array, position: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which events of histories [B, L] are of the same item as that at `position`, and if that is the newest [B]."""
    same = items == items[:, position, None]
    return same, ~same[:, position + 1 :].any(axis=1)


def by_leaving_out(
    histories: Mapping[str, Array],
    lists: Lists,
    encode: Callable[[Mapping[str, Array]], Array],
    listed_vectors: Array,
    num_reasons: int,
) -> Reasons:
    """Encode each user once without each item of the history, and compare the model's scores of the listed items.

    Where no event is left the score is 0. Unknown items are no reasons. Ties: the item with the newer event first.

    Args:
        histories: [B, L] by column, left-padded.
        encode: user vectors [B, D] from histories.
        listed_vectors: [B, N, D], of the listed items.
        num_reasons: R.
    """
    listed = listed_vectors.astype(np.float64)
    items = histories["items"]
    scores = np.einsum("bd,bnd->bn", encode(histories).astype(np.float64), listed)
    best = nothing(lists, num_reasons)
    for position in range(items.shape[1] - 1, -1, -1):
        same, is_newest = of_same_item(items, position)
        rows = np.flatnonzero(is_newest & (items[:, position] >= FIRST_IDX))
        if not len(rows):
            continue
        left = without({name: values[rows] for name, values in histories.items()}, same[rows])
        lower = np.einsum("bd,bnd->bn", encode(left).astype(np.float64), listed[rows])
        lower[~left["items"].any(axis=1)] = 0.0
        falls = np.where(lists.item_idx[rows] > 0, scores[rows] - lower, 0.0)
        take_in(best, rows, items[rows, position], falls)
    return best


def without(histories: Mapping[str, Array], gone: NDArray[np.bool_]) -> dict[str, Array]:
    """Histories [B, L] as if the events marked in `gone` [B, L] had not been: older ones move up, their gaps join."""
    order = np.argsort(~gone, axis=1, kind="stable")
    out = {
        name: np.take_along_axis(np.where(gone, 0, values), order, axis=1).astype(values.dtype)
        for name, values in histories.items()
    }
    times = np.take_along_axis(histories["gaps"].cumsum(axis=1, dtype=np.int64), order, axis=1)
    is_younger = out["items"][:, :-1] > 0  # than the oldest, which has no gap
    out["gaps"][:, 1:] = np.where(is_younger, np.minimum(np.diff(times, axis=1), _LONGEST_GAP), 0)
    return out
