"""The forms in which models score: each ranks the items for a batch of histories. NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.models.transitions import Transitions, history_weights
from recsys_spark.ranking import item_item
from recsys_spark.ranking.item_item import ItemItem
from recsys_spark.ranking.top_n import Lists, candidates, top_n

Array = NDArray[Any]
Pairs = tuple[Array, Array]  # (user row, item_idx)
Encode = Callable[[Mapping[str, Array]], NDArray[np.float32]]
Rank = Callable[[Mapping[str, Array], int, Pairs | None], Lists]


@dataclass(frozen=True)
class Vectors:
    """`encode` gives user vectors [B, D+1] from histories [B, L]; `item_vectors` [V, D+1], bias last."""

    encode: Encode
    item_vectors: NDArray[np.float32]


Form = Vectors | Transitions


def ranking(form: Form, is_allowed: NDArray[np.bool_], batch_users: int) -> Rank:
    """What ranks the allowed items, packed once.

    The function takes histories [B, L] by column, N, and the pairs that may not be listed. A user's list
    does not depend on the others of the batch.

    Args:
        is_allowed: [V].
        batch_users: histories encoded at a time: B is at most this, and is padded to it.
    """
    if isinstance(form, Transitions):
        return _by_transitions(form, is_allowed)
    return _by_vectors(form, is_allowed, batch_users)


def _by_vectors(form: Vectors, is_allowed: NDArray[np.bool_], batch_users: int) -> Rank:
    items = candidates(form.item_vectors, is_allowed)

    def rank(histories: Mapping[str, Array], num_items: int, left_out: Pairs | None) -> Lists:
        padded = {name: _padded(values, batch_users) for name, values in histories.items()}
        vectors = form.encode(padded)[: len(histories["items"])]
        return top_n(vectors, items, num_items, left_out)

    return rank


def _by_transitions(form: Transitions, is_allowed: NDArray[np.bool_]) -> Rank:
    matrix = ItemItem(form.starts, form.neighbours, form.weights)

    def rank(histories: Mapping[str, Array], num_items: int, left_out: Pairs | None) -> Lists:
        items = histories["items"]
        weights = history_weights(items, form.history_decay)
        return item_item.top_n(items, weights, matrix, is_allowed, num_items, left_out)

    return rank


def _padded(values: Array, num_rows: int) -> Array:
    if len(values) == num_rows:
        return values
    out = np.zeros((num_rows, *values.shape[1:]), dtype=values.dtype)
    out[: len(values)] = values
    return out
