"""Every metric of lists: its name, what it says and the function that gives it. A metric more is an entry in `ALL`.

Light to import: settings are checked against these names before anything else is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking import beyond_accuracy, metrics
from recsys_spark.ranking.beyond_accuracy import Categories

Values = NDArray[np.float64]


class JudgedLists(NamedTuple):
    """Lists [B, K] of judged users, and facts of the items [V].

    Attributes:
        item_idx: [B, K] by rank; 0 past the list's end, 1 an item without facts.
        hits: [B, K]; whether the item is one of the user's truth.
        num_truth: [B], at least 1.
        num_listed: [B].
        num_items: of the catalogue.
        bits: [V]; see `beyond_accuracy.self_information`.
        is_popular: [V].
    """

    item_idx: NDArray[Any]
    hits: NDArray[np.bool_]
    num_truth: NDArray[Any]
    num_listed: NDArray[Any]
    num_items: int
    bits: Values
    is_popular: NDArray[np.bool_]
    categories: Categories


class Metric(NamedTuple):
    """One metric: either of each user, and its mean counts, or of all lists together.

    Attributes:
        of_users: values [B] of lists at k.
        of_all: value of how many distinct items stand in the first k of any list, and how many could.
        is_for_gate: more of it is a better recommender, so the gate may compare it.
        is_shown: by the command `metrics`.
    """

    name: str
    meaning: str
    of_users: Callable[[JudgedLists, int], Values] | None = None
    of_all: Callable[[int, int], float] | None = None
    is_for_gate: bool = False
    is_shown: bool = True


ALL = (
    Metric(
        "ndcg",
        "how early the hits come, beside a list that has them all first",
        lambda lists, k: metrics.ndcg_at_k(lists.hits, lists.num_truth, k),
        is_for_gate=True,
    ),
    Metric(
        "recall",
        "the share of the truth that is listed",
        lambda lists, k: metrics.recall_at_k(lists.hits, lists.num_truth, k),
        is_for_gate=True,
    ),
    Metric(
        "precision",
        "the share of k that is hits",
        lambda lists, k: metrics.precision_at_k(lists.hits, lists.num_truth, k),
        is_for_gate=True,
    ),
    Metric(
        "map",
        "the mean precision at the ranks of the truth",
        lambda lists, k: metrics.map_at_k(lists.hits, lists.num_truth, k),
        is_for_gate=True,
    ),
    Metric(
        "mrr",
        "1 / rank of the first hit",
        lambda lists, k: metrics.mrr_at_k(lists.hits, lists.num_truth, k),
        is_for_gate=True,
    ),
    Metric(
        "hit_rate",
        "the share of users with a hit",
        lambda lists, k: metrics.hit_rate_at_k(lists.hits, lists.num_truth, k),
        is_for_gate=True,
    ),
    Metric(
        "f1",
        "the harmonic mean of precision and recall",
        lambda lists, k: metrics.f1_at_k(lists.hits, lists.num_truth, k),
        is_shown=False,
    ),
    Metric(
        "accuracy",
        "the share of the catalogue put on the right side",
        lambda lists, k: metrics.accuracy_at_k(
            lists.hits, lists.num_truth, k, lists.num_listed, max(lists.num_items, 1)
        ),
        is_shown=False,
    ),
    Metric(
        "coverage",
        "the share of the items that could be listed which anybody's list holds",
        of_all=lambda num_listed, num_eligible: num_listed / max(num_eligible, 1),
    ),
    Metric(
        "diversity",
        "how unlike in category a list's items are",
        lambda lists, k: beyond_accuracy.diversity_at_k(lists.item_idx, k, lists.categories),
    ),
    Metric(
        "novelty",
        "bits of surprise of a list's items",
        lambda lists, k: beyond_accuracy.novelty_at_k(lists.item_idx, k, lists.bits),
    ),
    Metric(
        "popularity_share",
        "the share of a list that is of the most popular tenth",
        lambda lists, k: beyond_accuracy.popularity_share_at_k(lists.item_idx, k, lists.is_popular),
        is_shown=False,
    ),
)


def names_for_gate() -> list[str]:
    """The metrics that may decide what goes live."""
    return [metric.name for metric in ALL if metric.is_for_gate]


def names_shown() -> list[str]:
    """The metrics that the command `metrics` shows, in its order."""
    return [metric.name for metric in ALL if metric.is_shown]
