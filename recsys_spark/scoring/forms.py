"""The forms in which models score: each ranks the items for a batch of histories. NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.models.transitions import Transitions, history_weights
from recsys_spark.ranking import item_item, warm_and_cold
from recsys_spark.ranking.item_item import ItemItem
from recsys_spark.ranking.top_n import Lists
from recsys_spark.ranking.warm_and_cold import Both, ColdItems
from recsys_spark.scoring.pairs import Pairs
from recsys_spark.scoring.reasons import Reasons, by_leaving_out

Array = NDArray[Any]
HISTORY = ("items", "types", "values", "gaps", "weights")  # columns of HISTORIES, each [B, L]
Histories = Mapping[str, Array]
Encode = Callable[[Histories], NDArray[np.float32]]
RankUsers = Callable[[Array, Array, int, Pairs | None], Lists]
Rank = Callable[[Histories], RankUsers]
Explain = Callable[[Histories, Array, Lists], Reasons]


@dataclass(frozen=True)
class Vectors:
    """`encode` gives user vectors [B, D+1] from histories [B, L]; `item_vectors` [V, D+1], bias last.

    `directions` [V, D] are the item vectors of length 1, without the bias: their products are cosines.

    A user's vector does not depend on the others of the batch, nor on how many they are.
    """

    encode: Encode
    item_vectors: NDArray[np.float32]
    directions: NDArray[np.float32]


Form = Vectors | Transitions


def ranking(form: Form, kind: Array, factors: Array, cold: ColdItems | None = None) -> Rank:
    """What ranks the items on offer, packed once.

    The function takes histories [B, L] by column. What it gives ranks for some of these users, by their rows, the
    group of each, N, and the pairs (place among the rows, item_idx) that may not be listed. A user's list does not
    depend on the others of the batch. A boost multiplies the score of transitions; vectors score in logits, and its
    logarithm is added: that multiplies the odds.

    Args:
        kind, factors: [V], [G, K], of an `Offer`.
        cold: items beside the form's own; transitions cannot rank them.
    """
    if isinstance(form, Transitions):
        return _by_transitions(form, kind, factors)
    return _by_vectors(form, kind, factors, cold)


def explaining(
    form: Form,
    kind: Array,
    factors: Array,
    num_reasons: int,
    is_costly_allowed: bool,
    cold: ColdItems | None = None,
) -> Explain | None:
    """What gives the reasons of lists that `ranking` made, from the same histories and groups.

    Args:
        num_reasons: R, of each listed item.
        is_costly_allowed: false: only where a reason costs next to nothing, as it does for transitions; a
            network has to encode a user again for each event, and then gives none.
    """
    if isinstance(form, Transitions):
        return _from_sums(form, kind, factors, num_reasons)
    if not is_costly_allowed:
        return None

    def explain(histories: Histories, group: Array, lists: Lists) -> Reasons:
        listed = warm_and_cold.vectors_of(form.item_vectors, cold, lists.item_idx)
        return by_leaving_out(histories, lists, form.encode, listed, num_reasons)

    return explain


def _from_sums(form: Transitions, kind: Array, factors: Array, num_reasons: int) -> Explain:
    matrix = ItemItem(form.starts, form.neighbours, form.weights)

    def explain(histories: Histories, group: Array, lists: Lists) -> Reasons:
        items = histories["items"]
        weights = history_weights(items, form.history_decay)
        parts = item_item.contributions(items, weights, matrix, lists.item_idx, num_reasons)
        boosts = factors[group[:, None], kind[lists.item_idx]]
        return Reasons(parts.item_idx, parts.scores * boosts[:, :, None])

    return explain


def _by_vectors(form: Vectors, kind: Array, factors: Array, cold: ColdItems | None) -> Rank:
    with np.errstate(divide="ignore"):
        offsets = np.log(factors)
    items = warm_and_cold.candidates(form.item_vectors, kind, offsets, cold)

    return lambda histories: by_inner_product(form.encode(histories), items)


def by_inner_product(user_vectors: Array, items: Both) -> RankUsers:
    """What ranks the items for users with vectors [B, D]."""

    def rank(rows: Array, group: Array, num_items: int, left_out: Pairs | None) -> Lists:
        return warm_and_cold.top_n(user_vectors[rows], items, num_items, left_out, group)

    return rank


def _by_transitions(form: Transitions, kind: Array, factors: Array) -> Rank:
    matrix = ItemItem(form.starts, form.neighbours, form.weights)

    def ranking_of(histories: Histories) -> RankUsers:
        items = histories["items"]
        weights = history_weights(items, form.history_decay)

        def rank(rows: Array, group: Array, num_items: int, left_out: Pairs | None) -> Lists:
            return item_item.top_n(
                items[rows], weights[rows], matrix, kind, num_items, left_out, factors, group
            )

        return rank

    return ranking_of
