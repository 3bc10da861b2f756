"""Lists for users with an event or two: the items most similar to those, by the cosine of `similar_items`. NumPy only.

Source: Sarwar et al. 2001, "Item-Based Collaborative Filtering Recommendation Algorithms", the weighted sum over the
items a user has. Differs: vectors are a model's, and each event weighs 1.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.forms.form import Eligible, Explain, Rank, RankUsers, Users, only_known
from recsys_spark.forms.inner_product import by_inner_product, directions
from recsys_spark.forms.reasons import Reasons, nothing, of_same_item, take_in
from recsys_spark.ranking import warm_and_cold
from recsys_spark.ranking.left_out import LeftOut
from recsys_spark.ranking.top_n import Lists
from recsys_spark.ranking.warm_and_cold import Both, ColdItems

if TYPE_CHECKING:
    from recsys_spark.forms.vectors import Vectors

NAME = "item_based"

Array = NDArray[Any]


def item_based(
    form: Vectors,
    eligible: Eligible,
    num_reasons: int,
    cold: ColdItems | None = None,
) -> tuple[Rank, Explain]:
    """What ranks items by the sum of their cosines with the user's own, and what gives the reasons of such lists.

    Without the events of a reason's item the score is lower by exactly that reason's. A network's user state is
    normalised to a length of about sqrt(D), so a logit is about sqrt(D) cosines: the logarithm of a boost is divided
    by that.

    Args:
        form: events of items that it was not trained on say nothing.
        num_reasons: R.
        cold: items beside the form's own.
    """
    if cold is not None:
        cold = cold._replace(vectors=directions(cold.vectors))
    with np.errstate(divide="ignore"):
        offsets = np.log(eligible.factors) / np.sqrt(max(form.item_vectors.shape[1] - 1, 1))

    @functools.cache  # a pass over all directions: only for a process that meets such a user
    def items() -> Both:
        return warm_and_cold.candidates(form.directions, eligible.kind, offsets, cold)

    def known(users: Users) -> tuple[Array, NDArray[np.float64]]:
        """The items [B, E] of the events that say something, newest last, 0 pads; their directions [B, E, D]."""
        events = only_known(users["items"], len(form.is_trained))
        is_known = form.is_trained[events]
        order = np.argsort(is_known, axis=1, kind="stable")[:, -max(int(is_known.sum(axis=1).max()), 1) :]
        kept = np.take_along_axis(np.where(is_known, events, 0), order, axis=1)
        return kept, form.directions[kept].astype(np.float64) * (kept > 0)[:, :, None]

    def rank(users: Users) -> RankUsers:
        return by_inner_product(known(users)[1].sum(axis=1), items())

    def explain(users: Users, group: Array, left_out: LeftOut, lists: Lists) -> Reasons:
        events, vectors = known(users)
        listed = warm_and_cold.vectors_of(form.directions, cold, lists.item_idx)  # [B, N, D]
        listed = listed.astype(np.float64)
        best, rows = nothing(lists, num_reasons), np.arange(len(events))
        for position in range(events.shape[1] - 1, -1, -1):  # the newer event wins a tie
            same, is_newest = of_same_item(events, position)
            num_events = np.where(is_newest, same.sum(axis=1), 0)
            parts = np.einsum("bd,bnd->bn", vectors[:, position], listed) * num_events[:, None]
            take_in(best, rows, events[:, position], np.where(lists.item_idx > 0, parts, 0.0))
        return best

    return rank, explain
