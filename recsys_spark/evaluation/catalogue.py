"""What metrics need to know of the items of one cut, small enough to be sent to every process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_spark.ranking import beyond_accuracy
from recsys_spark.ranking.beyond_accuracy import Categories
from recsys_spark.scoring import columns

COLUMNS = ("item_idx", "categories", "is_available", "num_users", "popularity")  # of ITEM_FEATURES


@dataclass(frozen=True)
class Catalogue:
    """Numbers of one cut, and facts [V] by item_idx; V is at least 2, so that 1 stands for an unknown item.

    `num_eligible` items are available and used; popular is the most popular tenth of the used ones, ties
    included. An item without a row has no category, no user and is not popular.
    """

    num_items: int
    num_eligible: int
    num_users: int
    bits: NDArray[np.float64]
    is_popular: NDArray[np.bool_]
    categories: Categories


def catalogue(item_features: pa.Table, num_users: int) -> Catalogue:
    """Arrange the rows of one cut of ITEM_FEATURES by item_idx; `num_users` are known at that cut."""
    popularity = item_features["popularity"].to_numpy()
    used = np.sort(popularity[popularity > 0])[::-1]
    popular_from = used[(len(used) - 1) // 10] if len(used) else np.inf
    item_idx = item_features["item_idx"].to_numpy()
    vocabulary = int(item_idx.max(initial=1)) + 1
    users, is_popular = np.zeros(vocabulary, np.int64), np.zeros(vocabulary, np.bool_)
    users[item_idx] = pc.fill_null(item_features["num_users"], 0).to_numpy()
    is_popular[item_idx] = popularity >= popular_from
    return Catalogue(
        item_features.num_rows,
        int((item_features["is_available"].to_numpy() & (popularity > 0)).sum()),
        num_users,
        beyond_accuracy.self_information(users, num_users),
        is_popular,
        columns.groups_of(item_features, "categories", vocabulary),
    )
