"""What every scoring process knows about the items of one cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys_spark.models import popularity
from recsys_spark.models.popularity import Popularity
from recsys_spark.ranking.orders import first_n
from recsys_spark.ranking.top_n import Lists

POPULARITY = "popularity"
COLUMNS = ("item_idx", "item_id", "is_available")  # of ITEM_FEATURES

Array = NDArray[Any]


@dataclass(frozen=True)
class Catalogue:
    """`item_ids` [V] by item_idx (null where there is none), `is_available` bool [V], the fitted counts."""

    item_ids: pa.Array
    is_available: NDArray[np.bool_]
    popularity: Popularity

    def most_popular(
        self, segments: Sequence[str | None], num_items: int, left_out: tuple[Array, Array] | None = None
    ) -> Lists:
        """The available items that somebody used, for users of these segments [B]."""
        popular = self.popularity
        return first_n(
            popular.numbers(segments), popular.starts, popular.item_idx, popular.scores, popular.factors,
            self.is_available, num_items, left_out,
        )  # fmt: skip


def catalogue(item_features: pa.Table, segment_popularity: pa.Table) -> Catalogue:
    """Arrange the rows of one cut of ITEM_FEATURES and SEGMENT_POPULARITY by item_idx."""
    item_idx, item_ids = item_features["item_idx"].to_numpy(), ids_by_idx(item_features)
    is_available = np.zeros(len(item_ids), dtype=bool)
    is_available[item_idx] = item_features["is_available"].to_numpy()
    fitted = popularity.fit(
        segment_popularity["segment"].to_pylist(),
        segment_popularity["item_idx"].to_numpy(),
        segment_popularity["popularity"].to_numpy(),
    )
    return Catalogue(item_ids, is_available, fitted)


def ids_by_idx(item_features: pa.Table) -> pa.Array:
    """item_id [V] by item_idx; null where there is none."""
    item_idx = item_features["item_idx"].to_numpy()
    rows = np.full(int(item_idx.max(initial=1)) + 1, -1)
    rows[item_idx] = np.arange(len(item_idx))
    ids = item_features["item_id"].combine_chunks().cast(pa.string())
    return ids.take(pa.array(rows, mask=rows < 0))


def segment_lists(items: Catalogue, num_items: int) -> list[dict[str, Any]]:
    """Rows of SEGMENT_LISTS (run_date left out): what a visitor without an id gets."""
    segments = items.popularity.segments
    best = items.most_popular(segments, num_items)
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
        for row, segment in enumerate(segments)
    ]
