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
from recsys_spark.scoring.reasons import Reasons, by_leaving_out

Array = NDArray[Any]
Pairs = tuple[Array, Array]  # (user row, item_idx)
Encode = Callable[[Mapping[str, Array]], NDArray[np.float32]]
Rank = Callable[[Mapping[str, Array], int, Pairs | None], Lists]
Explain = Callable[[Mapping[str, Array], Lists], Reasons]


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


def explaining(form: Form, batch_users: int, is_costly_allowed: bool) -> Explain | None:
    """What gives the reasons of lists that `ranking` made, from the same histories.

    Args:
        is_costly_allowed: false: only where a reason costs next to nothing, as it does for transitions; a
            network has to encode a user again for each event, and then gives none.
    """
    if isinstance(form, Transitions):
        return _from_sums(form)
    if not is_costly_allowed:
        return None

    def explain(histories: Mapping[str, Array], lists: Lists) -> Reasons:
        return by_leaving_out(histories, lists, _encoder(form, batch_users), form.item_vectors)

    return explain


def _from_sums(form: Transitions) -> Explain:
    matrix = ItemItem(form.starts, form.neighbours, form.weights)

    def explain(histories: Mapping[str, Array], lists: Lists) -> Reasons:
        items = histories["items"]
        weights = history_weights(items, form.history_decay)
        parts = item_item.contributions(items, weights, matrix, lists.item_idx, 1)
        return Reasons(parts.item_idx[:, :, 0], parts.scores[:, :, 0])

    return explain


def _encoder(form: Vectors, batch_users: int) -> Encode:
    def encode(histories: Mapping[str, Array]) -> NDArray[np.float32]:
        padded = {name: _padded(values, batch_users) for name, values in histories.items()}
        return form.encode(padded)[: len(histories["items"])]

    return encode


def _by_vectors(form: Vectors, is_allowed: NDArray[np.bool_], batch_users: int) -> Rank:
    items, encode = candidates(form.item_vectors, is_allowed), _encoder(form, batch_users)

    def rank(histories: Mapping[str, Array], num_items: int, left_out: Pairs | None) -> Lists:
        return top_n(encode(histories), items, num_items, left_out)

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
