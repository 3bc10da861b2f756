"""The form `blend`: forms whose rankings are merged into one.

Each member nominates its best P of the items that a user may get; the others get nothing from it. How what members
nominate becomes one ranking stands in `ranking.merging`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_spark.forms import folder as folders
from recsys_spark.forms.form import (
    Eligible,
    Explain,
    Form,
    Needs,
    Rank,
    RankUsers,
    Similar,
    Size,
    Users,
    num_users,
    only_known,
)
from recsys_spark.forms.reasons import Reasons
from recsys_spark.ranking import left_out as pairs
from recsys_spark.ranking import merging
from recsys_spark.ranking.left_out import LeftOut
from recsys_spark.ranking.top_n import Lists, empty_lists
from recsys_spark.ranking.warm_and_cold import ColdItems

_NOMINATED = 96  # bytes: an item and its points as they came, sorted and summed
_MEMBER_REASONS = 4  # times as many are asked of each member as are given

Array = NDArray[Any]


class Blending(NamedTuple):
    """How members are merged.

    Attributes:
        by: ranks | scores.
        weights: of each member, not negative.
        pool_items: P.
    """

    by: str
    weights: tuple[float, ...]
    pool_items: int


@dataclass(frozen=True)
class Blend:
    """Members in the order of their weights."""

    members: Sequence[Form]
    blending: Blending

    @cached_property  # asked for with every batch of users
    def is_trained(self) -> NDArray[np.bool_]:
        """See Form; an item that any member was trained on."""
        return any_trained([member.is_trained for member in self.members])

    def _merged(self, pools: Sequence[Lists]) -> Lists:
        return merging.merge(pools, self.blending.weights, self.blending.by)

    def ranking(self, eligible: Eligible, cold: ColdItems | None = None) -> Rank:
        """See Form. Nominated is at the first call for a user's row; later ones can only take items away."""
        member_ranks = [member.ranking(eligible.only(member.is_trained)) for member in self.members]

        def ranking_of(users: Users) -> RankUsers:
            rank_members = [rank(users) for rank in member_ranks]
            size = num_users(users)
            merged = empty_lists(size, len(self.members) * self.blending.pool_items)
            is_merged = np.zeros(size, np.bool_)

            def rank(rows: Array, group: Array, num_items: int, left_out: LeftOut | None) -> Lists:
                new = np.flatnonzero(~is_merged[rows])
                if len(new):
                    closed = pairs.of_rows(left_out or pairs.NONE, new, len(rows))
                    pools = [
                        by(rows[new], group[new], self.blending.pool_items, closed) for by in rank_members
                    ]
                    merging.put(merged, rows[new], self._merged(pools))
                    is_merged[rows[new]] = True
                wanted = Lists(merged.item_idx[rows], merged.scores[rows], merged.num_items[rows])
                return merging.first(pairs.without(wanted, left_out or pairs.NONE), num_items)

            return rank

        return ranking_of

    def explaining(
        self, eligible: Eligible, num_reasons: int, is_costly_allowed: bool, cold: ColdItems | None = None
    ) -> Explain | None:
        """See Form; the members' reasons, weighted as their scores are. Where ranks are merged there are none."""
        if self.blending.by != "scores":
            return None
        of_members = [eligible.only(member.is_trained) for member in self.members]
        explains = [
            member.explaining(of_member, _MEMBER_REASONS * num_reasons, is_costly_allowed)
            for member, of_member in zip(self.members, of_members, strict=True)
        ]
        if all(explain is None for explain in explains):
            return None
        ranks = [
            member.ranking(of_member) for member, of_member in zip(self.members, of_members, strict=True)
        ]

        def explain(users: Users, group: Array, left_out: LeftOut, lists: Lists) -> Reasons:
            rows, parts = np.arange(num_users(users)), []
            for rank, member_explain, weight in zip(ranks, explains, self.blending.weights, strict=True):
                if member_explain is None:
                    continue
                pool = rank(users)(rows, group, self.blending.pool_items, left_out)
                is_nominated = (lists.item_idx[:, :, None] == pool.item_idx[:, None, :]).any(axis=2)
                nominated = Lists(
                    np.where(is_nominated, lists.item_idx, 0), lists.scores, lists.num_items
                )  # others may be beyond the items that the member knows
                reasons = member_explain(users, group, left_out, nominated)
                scale = np.where(is_nominated, weight / merging.spread(pool)[:, None], 0.0)
                parts.append(reasons._replace(scores=reasons.scores * scale[:, :, None]))
            return _added_up(parts, lists, num_reasons)

        return explain

    def of_few_events(self, eligible: Eligible, num_reasons: int, cold: ColdItems | None = None) -> None:
        """See Form; every member has its own way."""

    def similar(self, eligible: Eligible) -> Similar:
        """See Form; the members' merged."""
        of_members = [member.similar(eligible.only(member.is_trained)) for member in self.members]

        def most_similar(item_idx: Array, num_similar: int) -> Lists:
            pools = []
            for member, similar in zip(self.members, of_members, strict=True):
                pool = empty_lists(len(item_idx), self.blending.pool_items)
                is_known = member.is_trained[only_known(item_idx, len(member.is_trained))]
                if is_known.any():
                    merging.put(
                        pool, np.flatnonzero(is_known), similar(item_idx[is_known], self.blending.pool_items)
                    )
                pools.append(pool)
            return merging.first(self._merged(pools), num_similar)

        return most_similar


def any_trained(trained: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """[V of the largest], true where any of several [V] is."""
    union = np.zeros(max(map(len, trained)), np.bool_)
    for is_trained in trained:
        union[: len(is_trained)] |= is_trained
    return union


def save(
    folder: Path, blending: Blending, members: Mapping[str, str], trained_items: NDArray[np.bool_]
) -> dict[str, str]:
    """Write the folder; returns each file's sha256 by name.

    Args:
        members: version by name, in the order of the weights.
        trained_items: [V], of any member.
    """
    settings = {**blending._asdict(), "members": [list(member) for member in members.items()]}
    return folders.save(folder, settings, {folders.TRAINED_ITEMS: trained_items})


def needs(folder: Path, size: Size) -> Needs:
    """What members nominate, beside the needs of the members."""
    settings = folders.load_settings(folder)
    return Needs(0, _NOMINATED * size.batch_users * settings["pool_items"] * len(settings["weights"]))


def load(folder: Path, members: Sequence[Form]) -> Blend:
    """The form of a verified folder.

    Args:
        members: in the order of the folder's weights.

    Raises:
        BadDataError: a file of the folder cannot be read.
    """
    settings = folders.load_settings(folder)
    return Blend(members, Blending(settings["by"], tuple(settings["weights"]), settings["pool_items"]))


def _added_up(parts: Sequence[Reasons], lists: Lists, num_reasons: int) -> Reasons:
    """The members' reasons of each listed item, those of one item of the history added."""
    shape = (*lists.item_idx.shape, num_reasons)
    item_idx, scores = (np.concatenate(values, axis=2) for values in zip(*parts, strict=True))
    width = item_idx.shape[2]
    both = merging.summed(item_idx.reshape(-1, width), scores.reshape(-1, width))
    best = merging.first(both, num_reasons)
    is_reason = best.scores > 0
    return Reasons(
        np.where(is_reason, best.item_idx, 0).reshape(shape),
        np.where(is_reason, best.scores, 0.0).reshape(shape),
    )
