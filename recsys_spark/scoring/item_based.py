"""Lists for users with an event or two: the items most similar to those, by the cosine of `similar_items`. NumPy only.

Source: Sarwar et al. 2001, "Item-Based Collaborative Filtering Recommendation Algorithms", the weighted sum over the
items a user has. Differs: vectors are a model's, and each event weighs 1.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.models import artifacts
from recsys_spark.ranking import warm_and_cold
from recsys_spark.ranking.top_n import Lists
from recsys_spark.ranking.warm_and_cold import Both, ColdItems
from recsys_spark.scoring.forms import Explain, Histories, Rank, RankUsers, Vectors, by_inner_product
from recsys_spark.scoring.reasons import Reasons, nothing, of_same_item, take_in

NAME = "item_based"

Array = NDArray[Any]


def item_based(
    form: Vectors,
    kind: Array,
    factors: Array,
    is_trained: NDArray[np.bool_],
    num_reasons: int,
    cold: ColdItems | None = None,
) -> tuple[Rank, Explain]:
    """What ranks items by the sum of their cosines with the user's own, and what gives the reasons of such lists.

    Without the events of a reason's item the score is lower by exactly that reason's. A network's user state is
    normalised to a length of about sqrt(D), so a logit is about sqrt(D) cosines: the logarithm of a boost is divided
    by that.

    Args:
        kind, factors: [V], [G, K], of an `Offer`.
        is_trained: [V]; events of other items say nothing.
        num_reasons: R.
        cold: items beside the form's own.
    """
    if cold is not None:
        cold = cold._replace(vectors=artifacts.directions(cold.vectors))
    with np.errstate(divide="ignore"):
        offsets = np.log(factors) / np.sqrt(max(form.item_vectors.shape[1] - 1, 1))

    @functools.cache  # a pass over all directions: only for a process that meets such a user
    def items() -> Both:
        return warm_and_cold.candidates(form.directions, kind, offsets, cold)

    def own(histories: Histories) -> tuple[Array, NDArray[np.float64]]:
        """The items [B, E] of the events that say something, newest last, 0 pads; their directions [B, E, D]."""
        events = histories["items"]
        is_known = is_trained[events]
        order = np.argsort(is_known, axis=1, kind="stable")[:, -max(int(is_known.sum(axis=1).max()), 1) :]
        kept = np.take_along_axis(np.where(is_known, events, 0), order, axis=1)
        return kept, form.directions[kept].astype(np.float64) * (kept > 0)[:, :, None]

    def rank(histories: Histories) -> RankUsers:
        return by_inner_product(own(histories)[1].sum(axis=1), items())

    def explain(histories: Histories, group: Array, lists: Lists) -> Reasons:
        events, vectors = own(histories)
        listed = warm_and_cold.vectors_of(form.directions, cold, lists.item_idx)  # [B, N, D]
        listed = listed.astype(np.float64)
        best, users = nothing(lists, num_reasons), np.arange(len(events))
        for place in range(events.shape[1] - 1, -1, -1):  # the newer event wins a tie
            same, is_newest = of_same_item(events, place)
            num_events = np.where(is_newest, same.sum(axis=1), 0)
            parts = np.einsum("bd,bnd->bn", vectors[:, place], listed) * num_events[:, None]
            take_in(best, users, events[:, place], np.where(lists.item_idx > 0, parts, 0.0))
        return best

    return rank, explain
