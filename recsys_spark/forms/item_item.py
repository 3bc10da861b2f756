"""The form `item_item`: what a user has, weighed, times item-to-item weights W.

`score(u, j) = sum over the user's items of their weight x W[item, j]`; only items with a score above 0 are ranked. What
an item weighs is one of three: by the rank of its event, the newest first (`decay^rank`); by its age
(`decay^days` before the user's newest event); or by its weight in the user's bag (`weight^power`; 0 counts each once).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_spark.forms import folder as folders
from recsys_spark.forms.form import BAG, Eligible, Explain, Needs, Rank, RankUsers, Similar, Size, Users
from recsys_spark.forms.reasons import Reasons
from recsys_spark.ranking import item_item
from recsys_spark.ranking.item_item import ItemWeights, UserItems
from recsys_spark.ranking.left_out import LeftOut
from recsys_spark.ranking.top_n import Lists
from recsys_spark.ranking.warm_and_cold import ColdItems

STARTS, NEIGHBOURS, WEIGHTS = "starts.npy", "neighbours.npy", "weights.npy"
_DAY = 86_400
_ITEM = 17  # bytes: a sum, a place among those touched, a mark

Array = NDArray[Any]


class Weighing(NamedTuple):
    """What each item of a user weighs.

    Attributes:
        by: rank | age | bag.
        base: decay an event (rank) or a day (age), above 0 to 1; power of the bag's weight (bag).
    """

    by: str
    base: float


@dataclass(frozen=True)
class ItemItem:
    """Item-to-item weights and how the items of a user weigh.

    Attributes:
        is_trained: [V], true where an item had a training event: the candidates.
    """

    matrix: ItemWeights
    is_trained: NDArray[np.bool_]
    weighing: Weighing

    def ranking(self, eligible: Eligible, cold: ColdItems | None = None) -> Rank:
        """See Form; a boost multiplies the score, and cold items have none."""
        kind, factors = eligible

        def ranking_of(users: Users) -> RankUsers:
            of_users = weighed(users, self.weighing)

            def rank(rows: Array, group: Array, num_items: int, left_out: LeftOut | None) -> Lists:
                wanted = of_users if len(rows) == of_users.num_users else of_users.of_rows(rows)
                return item_item.top_n(
                    wanted, self.matrix, kind, num_items, left_out=left_out, factors=factors, group=group
                )

            return rank

        return ranking_of

    def explaining(
        self, eligible: Eligible, num_reasons: int, is_costly_allowed: bool, cold: ColdItems | None = None
    ) -> Explain:
        """See Form; a sum shows what it is made of, so reasons are exact and cost next to nothing."""
        kind, factors = eligible

        def explain(users: Users, group: Array, left_out: LeftOut, lists: Lists) -> Reasons:
            of_users = weighed(users, self.weighing)
            parts = item_item.contributions(of_users, self.matrix, lists.item_idx, num_reasons)
            boosts = factors[group[:, None], kind[lists.item_idx]]
            return Reasons(parts.item_idx, parts.scores * boosts[:, :, None])

        return explain

    def of_few_events(self, eligible: Eligible, num_reasons: int, cold: ColdItems | None = None) -> None:
        """See Form; it is item-based by itself."""

    def similar(self, eligible: Eligible) -> Similar:
        """See Form; what would be listed if the item were all that a user has."""
        is_allowed = (eligible.kind > 0).astype(np.int32)

        def most_similar(item_idx: Array, num_similar: int) -> Lists:
            one_each = UserItems(np.arange(len(item_idx) + 1), item_idx, np.ones(len(item_idx)), True)
            itself = (np.arange(len(item_idx)), item_idx)
            return item_item.top_n(one_each, self.matrix, is_allowed, num_similar, itself)

        return most_similar


def weighed(users: Users, weighing: Weighing) -> UserItems:
    """The items of users with their weights; an unknown item keeps its rank in a history."""
    if weighing.by == "bag":
        bags: UserItems = users[BAG]
        return bags._replace(weights=bags.weights.astype(np.float64) ** weighing.base)
    items = users["items"]
    if weighing.by == "age":
        later = np.cumsum(users["gaps"][:, ::-1], axis=1, dtype=np.int64)[
            :, ::-1
        ]  # gaps up to here and after
        age = np.pad(later[:, 1:], ((0, 0), (0, 1))) / _DAY
    else:
        age = np.arange(items.shape[1])[::-1]
    return item_item.of_histories(items, np.where(items > 0, float(weighing.base) ** age, 0.0))


def save(folder: Path, settings: Mapping[str, Any], form: ItemItem) -> dict[str, str]:
    """Write the folder; returns each file's sha256 by name.

    Args:
        settings: of the recommender, for people and for its version.
    """
    arrays = {
        STARTS: form.matrix.starts,
        NEIGHBOURS: form.matrix.neighbours,
        WEIGHTS: form.matrix.weights,
        folders.TRAINED_ITEMS: form.is_trained,
    }
    return folders.save(folder, {**settings, "weighing": form.weighing._asdict()}, arrays)


def needs(folder: Path, size: Size) -> Needs:
    """The weights, and a sum and a mark of every item."""
    shared = sum((folder / name).stat().st_size for name in (NEIGHBOURS, WEIGHTS))
    return Needs(shared, _ITEM * len(folders.load_trained_items(folder)))


def load(folder: Path) -> ItemItem:
    """The form of a verified folder; its arrays are memory maps, shared by the processes of a machine.

    Raises:
        BadDataError: a file of the folder cannot be read.
    """
    starts, neighbours, weights = (
        folders.load_array(folder / name) for name in (STARTS, NEIGHBOURS, WEIGHTS)
    )
    weighing = Weighing(**folders.load_settings(folder)["weighing"])
    matrix = ItemWeights(starts, neighbours, weights)
    return ItemItem(matrix, folders.load_trained_items(folder), weighing)
