"""What every scoring process knows about the items of one cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_spark.models import popularity
from recsys_spark.models.popularity import Popularity
from recsys_spark.ranking import caps, orders
from recsys_spark.ranking.beyond_accuracy import Categories
from recsys_spark.ranking.caps import Caps
from recsys_spark.ranking.top_n import Lists
from recsys_spark.scoring import choice, columns
from recsys_spark.scoring.offer import Offer, boosts_of, offer
from recsys_spark.scoring.pairs import Pairs
from recsys_spark.scoring.rules import NO_RULES, Rules

POPULARITY = "popularity"
# Of ITEM_FEATURES.
COLUMNS = ("item_idx", "item_id", "is_available", "categories", "seller", "segments", "min_age", "num_events")

Array = NDArray[Any]


@dataclass(frozen=True)
class Catalogue:
    """Items by item_idx: V of them.

    Attributes:
        item_ids: [V], null where there is none.
        offer: who may get what.
        popularity: the fitted counts, boosts included.
        categories: of each item.
        limits: how many of a category or seller a list may hold; None: any number.
        limit_names: the rules behind `limits`.
        new_items: item_idx of the items with few events, in the order of tonight's draw.
        draw_seed: of where in that order a user begins.
    """

    item_ids: pa.Array
    offer: Offer
    popularity: Popularity
    categories: Categories
    limits: Caps | None
    limit_names: tuple[str, ...]
    new_items: NDArray[np.int32]
    draw_seed: int

    def most_popular(
        self, segments: Sequence[str | None], group: Array, num_items: int, left_out: Pairs | None = None
    ) -> Lists:
        """The items on offer that somebody used, for users [B] of these segments and groups."""
        popular = self.popularity
        return orders.first_n(
            popular.numbers(segments), popular.starts, popular.item_idx, popular.scores, popular.factors,
            self.offer.factors > 0, self.offer.kind, group, num_items, left_out,
        )  # fmt: skip

    def drawn(self, user_idx: Array, group: Array, num_items: int, left_out: Pairs | None) -> Lists:
        """New items on offer for users [B], each from a place of its own in tonight's order."""
        first = orders.hashed(user_idx, self.draw_seed) % np.uint64(max(len(self.new_items), 1))
        return orders.round_from(
            first.astype(np.int64), self.new_items, self.offer.factors > 0, self.offer.kind, group, num_items,
            left_out,
        )  # fmt: skip


def catalogue(
    item_features: pa.Table, segment_popularity: pa.Table, rules: Rules = NO_RULES, night: int = 0
) -> Catalogue:
    """Arrange the rows of one cut of ITEM_FEATURES (`COLUMNS`) and SEGMENT_POPULARITY by item_idx.

    Args:
        night: number of the run date; another night draws other new items.
    """
    item_ids = ids_by_idx(item_features)
    num_items = len(item_ids)
    boosts = np.ones(num_items)
    boosts[item_features["item_idx"].to_numpy()] = boosts_of(item_features["categories"], rules.boosts)
    counted = segment_popularity["item_idx"].to_numpy()
    fitted = popularity.fit(
        segment_popularity["segment"].to_pylist(),
        counted,
        segment_popularity["popularity"].to_numpy() * boosts[counted],
    )
    categories = columns.groups_of(item_features, "categories", num_items)
    most = {
        "max_per_category": (categories, rules.max_per_category),
        "max_per_seller": (columns.groups_of(item_features, "seller", num_items), rules.max_per_seller),
    }
    limits = {name: limit for name, limit in most.items() if limit[1]}
    draw_seed = rules.seed + (night << 32)
    return Catalogue(
        item_ids,
        offer(item_features, num_items, rules.blocked_items, rules.blocked_categories, rules.boosts),
        fitted,
        categories,
        caps.caps(list(limits.values())) if limits else None,
        tuple(limits),
        _new_items(item_features, rules, draw_seed),
        draw_seed,
    )


def ids_by_idx(item_features: pa.Table) -> pa.Array:
    """item_id [V] by item_idx; null where there is none."""
    item_idx = item_features["item_idx"].to_numpy()
    rows = np.full(int(item_idx.max(initial=1)) + 1, -1)
    rows[item_idx] = np.arange(len(item_idx))
    ids = item_features["item_id"].combine_chunks().cast(pa.string())
    return ids.take(pa.array(rows, mask=rows < 0))


def _new_items(item_features: pa.Table, rules: Rules, draw_seed: int) -> NDArray[np.int32]:
    if not rules.num_new_items:
        return np.zeros(0, np.int32)
    few = pc.less_equal(item_features["num_events"], rules.new_item_events).to_numpy()
    item_idx = np.sort(item_features["item_idx"].to_numpy()[few])
    return item_idx[np.argsort(orders.hashed(item_idx, draw_seed), kind="stable")].astype(np.int32)


def segment_lists(items: Catalogue, num_items: int) -> list[dict[str, Any]]:
    """Rows of SEGMENT_LISTS (run_date left out): what a visitor without an id, of unknown age, gets."""
    segments = pa.array(items.popularity.segments, pa.string())
    group = items.offer.groups(segments, pa.nulls(len(segments), pa.int32()))
    best, _ = choice.chosen(
        partial(_of_segments, items, group),
        np.full(len(segments), num_items),
        num_items,
        num_items,
        items.limits,
    )
    return [
        {
            "segment": segment,
            "items": [
                {
                    "item_id": items.item_ids[int(best.item_idx[row, place])].as_py(),
                    "rank": place + 1,
                    "score": float(best.scores[row, place]),
                    "source": POPULARITY,
                }
                for place in range(best.num_items[row])
            ],
        }
        for row, segment in enumerate(items.popularity.segments)
    ]


def _of_segments(items: Catalogue, group: Array, rows: Array, num_items: int, closed: Pairs) -> Lists:
    segments = [items.popularity.segments[row] for row in rows]
    return items.most_popular(segments, group[rows], num_items, closed)
