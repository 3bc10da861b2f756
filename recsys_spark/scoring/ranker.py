"""Lists for a batch of users: encode, rank by the model, fill up by popularity, all within the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys_spark.forms import form as forms
from recsys_spark.forms.form import Explain, Rank, Users
from recsys_spark.forms.item_based import NAME as ITEM_BASED
from recsys_spark.forms.reasons import Reasons, nothing
from recsys_spark.models import POPULARITY
from recsys_spark.ranking import left_out as pairs
from recsys_spark.ranking import merging, rerank, warm_and_cold
from recsys_spark.ranking.left_out import LeftOut
from recsys_spark.ranking.top_n import Lists, empty_lists, is_filled
from recsys_spark.ranking.warm_and_cold import ColdItems
from recsys_spark.scoring import columns, list_rows, user_batches
from recsys_spark.scoring.catalogue import Catalogue
from recsys_spark.scoring.loaded_models import LoadedModel
from recsys_spark.scoring.rules import ListSettings
from recsys_spark.scoring.user_rows import LEFT_OUT
from recsys_spark.scoring.within_caps import Reorder, within_caps

TOO_FEW = "too_few_candidates"
NEW_ITEMS = "new_items"
BY_FEATURES = "_by_features"  # behind the name of what placed a cold item

Array = NDArray[Any]


@dataclass(frozen=True)
class Ranker:
    """Everything about the items and the model, packed once; `lists` is then called batch after batch.

    Attributes:
        model, rank: None when popularity alone fills the lists.
        explain: None when no reasons are given.
        item_based: ranks and gives reasons for users with few events; None: `rank` does for all.
        cold: items that the model ranks by their features; None: there are none.
    """

    items: Catalogue
    model: LoadedModel | None
    rank: Rank | None
    explain: Explain | None
    settings: ListSettings
    item_based: tuple[Rank, Explain] | None = None
    cold: ColdItems | None = None

    def lists(self, users: pa.RecordBatch) -> pa.RecordBatch:
        """Rank at most `batch_users` users; see `scoring.lists` for the columns in and out.

        New items are drawn first, for the last places; the model's come first, popularity's fill the middle.
        """
        group = self.items.eligible.groups(users["segment"], users["age"])
        left_out = pairs.together(*[columns.pairs(users[name]) for name in LEFT_OUT])
        new, _ = self._drawn(users, group, left_out)
        left_out = pairs.together(left_out, pairs.of_lists(new))
        wanted = self.settings.num_items - new.num_items
        lists, reasons, is_capped, is_item_based = self._by_model(users, group, left_out, wanted, new)
        num_by_model = lists.num_items.copy()
        is_rest_capped = self._fill_up(users, group, left_out, wanted, lists, new)
        num_before_new = lists.num_items.copy()
        merging.put_behind(lists, new)
        is_by_model = num_by_model > 0
        return list_rows.record_batch(
            users,
            lists,
            reasons,
            np.full(len(users), self.explain is not None) | (is_item_based & is_by_model),
            self._filled_by(lists, is_item_based, num_by_model, num_before_new),
            list_rows.either(is_by_model, self._name, POPULARITY),
            list_rows.either(is_by_model, self.model.version if self.model else None, None),
            self._why_short(users, group, lists.num_items, is_capped | is_rest_capped),
        )

    @property
    def _name(self) -> str:
        return self.model.name if self.model else ""

    def _drawn(self, users: pa.RecordBatch, group: Array, left_out: LeftOut) -> tuple[Lists, Array]:
        user_idx, wanted = users["user_idx"].to_numpy(), self.settings.num_new_items

        def rank(rows: Array, num_items: int, closed: LeftOut) -> Lists:
            both = pairs.together(pairs.of_rows(left_out, rows, len(users)), closed)
            return self.items.drawn(user_idx[rows], group[rows], num_items, both)

        return within_caps(rank, np.full(len(users), wanted), wanted, 2 * wanted, self.items.caps)

    def _by_model(
        self, users: pa.RecordBatch, group: Array, left_out: LeftOut, wanted: Array, placed: Lists
    ) -> tuple[Lists, Reasons, Array, Array]:
        """What the model's vectors place, why, whose caps dropped some [B], and who had too few events for more."""
        lists = empty_lists(len(users), self.settings.num_items)
        reasons, is_capped = nothing(lists, self.settings.num_reasons), np.zeros(len(users), np.bool_)
        is_item_based = np.zeros(len(users), np.bool_)
        if self.model is None or self.rank is None:
            return lists, reasons, is_capped, is_item_based
        known = user_batches.users_of(users, len(self.model.form.is_trained))
        if known is None:
            return lists, reasons, is_capped, is_item_based
        num_known = forms.num_known(known, self.model.form.is_trained)
        num_known[users["is_control"].to_numpy(zero_copy_only=False)] = 0
        is_few = num_known <= (self.settings.item_based_max_events if self.item_based else 0)
        is_item_based = is_few & (num_known > 0)
        ways = [(np.flatnonzero(~is_few), self.rank, self.explain)]
        if self.item_based:
            ways.append((np.flatnonzero(is_item_based), *self.item_based))
        for rows, by, explain in ways:
            if not len(rows):
                continue
            of_rows, closed = forms.of_rows(known, rows), pairs.of_rows(left_out, rows, len(users))
            best, is_capped[rows] = self._within_rules(
                by, of_rows, group[rows], closed, wanted[rows], placed.item_idx[rows]
            )
            lists.item_idx[rows], lists.scores[rows], lists.num_items[rows] = (
                best.item_idx,
                best.scores,
                best.num_items,
            )
            if explain:
                reasons.item_idx[rows], reasons.scores[rows] = explain(of_rows, group[rows], closed, best)
        return lists, reasons, is_capped, is_item_based

    def _within_rules(
        self, by: Rank, users: Users, group: Array, left_out: LeftOut, wanted: Array, placed: Array
    ) -> tuple[Lists, Array]:
        rank_users = by(users)

        def rank(rows: Array, num_items: int, closed: LeftOut) -> Lists:
            both = pairs.together(pairs.of_rows(left_out, rows, len(wanted)), closed)
            return rank_users(rows, group[rows], num_items, both)

        return within_caps(
            rank, wanted, self.settings.num_items, self._pool_items, self.items.caps, placed,
            self._reorder(users),
        )  # fmt: skip

    @property
    def _pool_items(self) -> int:
        return self.settings.pool_items(self.items.caps is not None)

    def _reorder(self, users: Users) -> Reorder | None:
        how, categories = self.settings.rerank, self.items.categories
        if how.by == "none":
            return None
        num_items = self.settings.num_items
        if how.by == "diversity":
            return lambda rows, pool: rerank.mmr(pool, categories, how.trade_off, num_items)
        mix = rerank.user_mix(users["items"], users["weights"], categories)
        return lambda rows, pool: rerank.calibrated(pool, categories, mix[rows], how.trade_off, num_items)

    def _fill_up(
        self, users: pa.RecordBatch, group: Array, left_out: LeftOut, wanted: Array, lists: Lists, new: Lists
    ) -> Array:
        """Put popularity's items behind the model's, in place; whose caps dropped some [B]."""
        missing = wanted - lists.num_items
        if not missing.any():
            return np.zeros(len(users), np.bool_)
        left_out = pairs.together(left_out, pairs.of_lists(lists))

        def rank(rows: Array, num_items: int, closed: LeftOut) -> Lists:
            segments = users["segment"].take(pa.array(rows)).to_pylist()
            both = pairs.together(pairs.of_rows(left_out, rows, len(users)), closed)
            return self.items.most_popular(segments, group[rows], num_items, both)

        num_items = self.settings.num_items
        pool_items = num_items if self.items.caps is None else 2 * num_items
        placed = np.concatenate([new.item_idx, lists.item_idx], axis=1)
        popular, is_capped = within_caps(rank, missing, num_items, pool_items, self.items.caps, placed)
        merging.put_behind(lists, popular)
        return is_capped

    def _filled_by(
        self, lists: Lists, is_item_based: Array, num_by_model: Array, num_before_new: Array
    ) -> pa.ListArray:
        """The model's places, some of cold items, come first; then popularity's up to `num_before_new`; new items'."""
        names = (
            self._name, self._name + BY_FEATURES, ITEM_BASED, ITEM_BASED + BY_FEATURES, POPULARITY, NEW_ITEMS
        )  # fmt: skip
        popularity, new_items = names.index(POPULARITY), names.index(NEW_ITEMS)
        if self.cold is None:
            num_of = np.zeros((len(num_by_model), len(names)), np.int64)
            num_of[np.arange(len(num_of)), 2 * is_item_based] = num_by_model
            num_of[:, popularity] = num_before_new - num_by_model
            num_of[:, new_items] = lists.num_items - num_before_new
            return list_rows.runs_of(num_of, names)
        of_model = 2 * is_item_based[:, None] + warm_and_cold.places(self.cold.item_idx, lists.item_idx)[1]
        place = np.arange(lists.item_idx.shape[1])[None, :]
        others = np.where(place < num_before_new[:, None], popularity, new_items)
        sources = np.where(place < num_by_model[:, None], of_model, others)
        return list_rows.runs(sources, is_filled(lists), names)

    def _why_short(self, users: pa.RecordBatch, group: Array, num_items: Array, is_capped: Array) -> pa.Array:
        """Null for a full list; else that candidates are too few, and which rules kept some from this user."""
        why: list[str | None] = [None] * len(users)
        for row in np.flatnonzero(num_items < self.settings.num_items):
            names = [name for name in LEFT_OUT if users[name][row].is_valid and len(users[name][row])]
            names += self.items.eligible.narrowed_by[group[row]]
            names += self.items.cap_names if is_capped[row] else ()
            why[row] = f"{TOO_FEW}: {', '.join(names)}" if names else TOO_FEW
        return pa.array(why, pa.string())


def ranker(
    items: Catalogue,
    model: LoadedModel | None,
    settings: ListSettings,
    cold: ColdItems | None = None,
) -> Ranker:
    """Pack the candidates: trained and cold eligible items for the model, used ones for popularity."""
    if model is None:
        return Ranker(items, None, None, None, settings)
    form = model.form
    eligible = items.eligible.of_form(form.is_trained)
    few = form.of_few_events(eligible, settings.num_reasons, cold) if settings.item_based_max_events else None
    rank = form.ranking(eligible, cold)
    explain = form.explaining(eligible, settings.num_reasons, settings.explain, cold)
    return Ranker(items, model, rank, explain, settings, few, cold)
