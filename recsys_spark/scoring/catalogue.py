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

from recsys_spark.forms import segments
from recsys_spark.forms.segments import Segments
from recsys_spark.models import POPULARITY
from recsys_spark.ranking import caps, orders
from recsys_spark.ranking.beyond_accuracy import Categories
from recsys_spark.ranking.caps import Caps
from recsys_spark.ranking.left_out import LeftOut
from recsys_spark.ranking.top_n import Lists
from recsys_spark.scoring import columns
from recsys_spark.scoring.eligibility import Eligibility, boosts_of, eligibility
from recsys_spark.scoring.rules import NO_RULES, Rules
from recsys_spark.scoring.within_caps import within_caps

# Of ITEM_FEATURES.
COLUMNS = ("item_idx", "item_id", "is_available", "categories", "seller", "segments", "min_age", "num_events")

Array = NDArray[Any]


@dataclass(frozen=True)
class Catalogue:
    """Items by item_idx: V of them.

    Attributes:
        item_ids: [V], null where there is none.
        eligible: who may get what.
        popularity: the fitted counts, boosts included.
        categories: of each item.
        caps: how many of a category or seller a list may hold; None: any number.
        cap_names: the rules behind `caps`.
        new_items: item_idx of the items with few events, in the order of tonight's draw.
        draw_seed: of where in that order a user begins.
    """

    item_ids: pa.Array
    eligible: Eligibility
    popularity: Segments
    categories: Categories
    caps: Caps | None
    cap_names: tuple[str, ...]
    new_items: NDArray[np.int32]
    draw_seed: int

    def most_popular(
        self, segments: Sequence[str | None], group: Array, num_items: int, left_out: LeftOut | None = None
    ) -> Lists:
        """The eligible items that somebody used, for users [B] of these segments and groups."""
        popular = self.popularity
        return orders.first_n(
            popular.numbers(segments), popular.starts, popular.item_idx, popular.scores, popular.factors,
            self.eligible.factors > 0, self.eligible.kind, group, num_items, left_out,
        )  # fmt: skip

    def drawn(self, user_idx: Array, group: Array, num_items: int, left_out: LeftOut | None) -> Lists:
        """New eligible items for users [B], each from a place of its own in tonight's order."""
        first = orders.hashed(user_idx, self.draw_seed) % np.uint64(max(len(self.new_items), 1))
        return orders.round_from(
            first.astype(np.int64), self.new_items, self.eligible.factors > 0, self.eligible.kind, group, num_items,
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
    fitted = segments.fit(
        segment_popularity["segment"].to_pylist(),
        counted,
        segment_popularity["popularity"].to_numpy() * boosts[counted],
    )
    categories = columns.groups_of(item_features, "categories", num_items)
    of_rules = {
        "max_per_category": (categories, rules.max_per_category),
        "max_per_seller": (columns.groups_of(item_features, "seller", num_items), rules.max_per_seller),
    }
    capped = {name: cap for name, cap in of_rules.items() if cap[1]}
    draw_seed = rules.seed + (night << 32)
    return Catalogue(
        item_ids,
        eligibility(item_features, num_items, rules.blocked_items, rules.blocked_categories, rules.boosts),
        fitted,
        categories,
        caps.caps(list(capped.values())) if capped else None,
        tuple(capped),
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
    names = pa.array(items.popularity.segments, pa.string())
    group = items.eligible.groups(names, pa.nulls(len(names), pa.int32()))
    best, _ = within_caps(
        partial(_of_segments, items, group),
        np.full(len(names), num_items),
        num_items,
        num_items,
        items.caps,
    )
    return [
        {
            "segment": segment,
            "items": [
                {
                    "item_id": items.item_ids[int(best.item_idx[row, rank])].as_py(),
                    "rank": rank + 1,
                    "score": float(best.scores[row, rank]),
                    "source": POPULARITY,
                }
                for rank in range(best.num_items[row])
            ],
        }
        for row, segment in enumerate(items.popularity.segments)
    ]


def _of_segments(items: Catalogue, group: Array, rows: Array, num_items: int, closed: LeftOut) -> Lists:
    names = [items.popularity.segments[row] for row in rows]
    return items.most_popular(names, group[rows], num_items, closed)
