"""What every form offers, and what goes in and out. NumPy only.

Shapes: B users, L events of a history, V items, N places of a list, R reasons, G groups of users, K kinds of items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_spark.forms.reasons import Reasons
from recsys_spark.ranking.item_item import UserItems
from recsys_spark.ranking.left_out import LeftOut
from recsys_spark.ranking.top_n import Lists
from recsys_spark.ranking.warm_and_cold import ColdItems
from recsys_spark.tables import UNKNOWN

Array = NDArray[Any]
Users = Mapping[
    str, Any
]  # what is known of B users: HISTORY columns [B, L] and BAG, those that the form reads
RankUsers = Callable[[Array, Array, int, LeftOut | None], Lists]
Rank = Callable[[Users], RankUsers]
Explain = Callable[[Users, Array, LeftOut, Lists], Reasons]
Similar = Callable[[Array, int], Lists]

HISTORY = ("items", "types", "values", "gaps", "weights")  # of HISTORIES, each [B, L], left-padded
BAG = "bag"  # UserItems: all distinct items of each user


class Eligible(NamedTuple):
    """Who may get what: item i has `factors[g, kind[i]]` for users of group g; 0: they may not get it.

    Attributes:
        kind: int32 [V]; kind 0 is eligible for nobody.
        factors: float64 [G, K]; boosts, 1 without one.
    """

    kind: NDArray[np.int32]
    factors: NDArray[np.float64]

    def only(self, is_trained: NDArray[np.bool_]) -> Eligible:
        """The same for a form's items [V]; one that it was not trained on is eligible for nobody."""
        kind = np.zeros(len(is_trained), np.int32)
        both = min(len(kind), len(self.kind))
        kind[:both] = self.kind[:both]
        return self._replace(kind=np.where(is_trained, kind, 0).astype(np.int32))


class Size(NamedTuple):
    """What a scoring worker is asked for, as far as a form's memory follows from it.

    Attributes:
        batch_users: users ranked at a time.
        pool_items: ranked for each of them.
        num_places: of lists made at a time, of users or of similar items.
        history_length: L.
        num_cold: items ranked by their features.
        is_explained: costly reasons are given.
    """

    batch_users: int
    pool_items: int
    num_places: int
    history_length: int
    num_cold: int = 0
    is_explained: bool = False


class Needs(NamedTuple):
    """Memory that a form takes in a scoring worker, in bytes.

    Attributes:
        shared: of mapped files, which the workers of a machine share.
        ranking: of one call that ranks.
        beside: of what is there beside it: reasons, cold items.
        runtime: of a library that the form starts, once a worker whatever number of forms starts it.
        reserved: of addresses that the library reserves and never touches.
    """

    shared: int
    ranking: int
    beside: int = 0
    runtime: int = 0
    reserved: int = 0

    def plus(self, other: Needs) -> Needs:
        """Of both forms in one worker."""
        return Needs(
            self.shared + other.shared,
            self.ranking + other.ranking,
            self.beside + other.beside,
            max(self.runtime, other.runtime),
            max(self.reserved, other.reserved),
        )


class Form(Protocol):
    """A fitted recommender in this process. A user's list does not depend on who else is in the batch."""

    @property
    def is_trained(self) -> NDArray[np.bool_]:
        """[V], true where an item had a training event: the candidates."""

    def ranking(self, eligible: Eligible, cold: ColdItems | None = None) -> Rank:
        """What ranks the eligible items, packed once.

        It takes users. What it gives ranks for some of them, by their rows, the group of each, N, and the pairs (place
        among the rows, item_idx) that may not be listed: by score descending, ties by item_idx.

        Args:
            cold: items beside the form's own; a form that cannot rank them passes over them.
        """

    def explaining(
        self, eligible: Eligible, num_reasons: int, is_costly_allowed: bool, cold: ColdItems | None = None
    ) -> Explain | None:
        """What gives R reasons of each item that `ranking` listed, for the same users, groups and left out; None: none.

        Args:
            is_costly_allowed: false: only where a reason costs next to nothing.
        """

    def of_few_events(
        self, eligible: Eligible, num_reasons: int, cold: ColdItems | None = None
    ) -> tuple[Rank, Explain] | None:
        """What ranks for users of few events, and gives reasons; None: `ranking` does for them as for all."""

    def similar(self, eligible: Eligible) -> Similar:
        """What finds, for items [B] by item_idx, the eligible items most like each; never itself."""


def of_rows(users: Users, rows: Array) -> Users:
    """Those of some users, in their order."""
    if len(rows) == num_users(users):
        return users
    return {name: values.of_rows(rows) if name == BAG else values[rows] for name, values in users.items()}


def num_users(users: Users) -> int:
    """B."""
    return next(values.num_users if name == BAG else len(values) for name, values in users.items())


def only_known(items: Array, vocabulary: int) -> Array:
    """Items numbered V or above become unknown."""
    return np.where(items < vocabulary, items, UNKNOWN).astype(items.dtype)


def num_known(users: Users, is_trained: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[B], how many events of each user, or items where bags are read, are of a trained item."""
    if BAG not in users:
        return np.asarray(is_trained[only_known(users["items"], len(is_trained))].sum(axis=1))
    bags: UserItems = users[BAG]
    until = np.concatenate([[0], np.cumsum(is_trained[only_known(bags.items, len(is_trained))])])
    return np.asarray(until[bags.starts[1:]] - until[bags.starts[:-1]])
