"""What metrics need to know of the items of one cut, small enough to be sent to every process."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_spark.ranking import beyond_accuracy
from recsys_spark.ranking.beyond_accuracy import Categories
from recsys_spark.scoring import columns
from recsys_spark.scoring.catalogue import ids_by_idx

COLUMNS = ("item_idx", "item_id", "categories", "is_available", "num_users", "popularity")  # of ITEM_FEATURES

_NO_NUMBERS = 2**30  # ids without a number get one from here on


class ItemFacts(NamedTuple):
    """Numbers of one cut, and facts [V] by item_idx; V is at least 2, so that 1 stands for an unknown item.

    `num_eligible` items are available and used; popular is the most popular tenth of the used ones, ties
    included. An item without a row has no category, no user and is not popular; its id is null.
    """

    num_items: int
    num_eligible: int
    num_users: int
    bits: NDArray[np.float64]
    is_popular: NDArray[np.bool_]
    categories: Categories
    item_ids: pa.Array


def item_facts(item_features: pa.Table, num_users: int) -> ItemFacts:
    """Arrange the rows of one cut of ITEM_FEATURES (`COLUMNS`) by item_idx; `num_users` are known at that cut."""
    popularity = item_features["popularity"].to_numpy()
    used = np.sort(popularity[popularity > 0])[::-1]
    popular_from = used[(len(used) - 1) // 10] if len(used) else np.inf
    item_idx = item_features["item_idx"].to_numpy()
    vocabulary = int(item_idx.max(initial=1)) + 1
    users, is_popular = np.zeros(vocabulary, np.int64), np.zeros(vocabulary, np.bool_)
    users[item_idx] = pc.fill_null(item_features["num_users"], 0).to_numpy()
    is_popular[item_idx] = popularity >= popular_from
    return ItemFacts(
        num_items=item_features.num_rows,
        num_eligible=int((item_features["is_available"].to_numpy() & (popularity > 0)).sum()),
        num_users=num_users,
        bits=beyond_accuracy.self_information(users, num_users),
        is_popular=is_popular,
        categories=columns.groups_of(item_features, "categories", vocabulary),
        item_ids=ids_by_idx(item_features),
    )


def numbered(items: pa.ListArray, facts: ItemFacts) -> pa.ListArray:
    """The same lists with item_idx in place of ids; an id without one gets a number of its own beyond all of them."""
    if not pa.types.is_string(items.type.value_type):
        return items
    coded = items.flatten().dictionary_encode()
    names = coded.dictionary
    of_item = pc.index_in(
        facts.item_ids, value_set=names
    )  # [V]; the other way round would hash V ids a batch
    item_idx = np.flatnonzero(of_item.is_valid())
    numbers = np.full(len(names), -1)
    numbers[of_item.drop_null().to_numpy()] = item_idx
    for unknown in np.flatnonzero(numbers < 0):
        numbers[unknown] = _NO_NUMBERS + _hashed(names[int(unknown)].as_py()) % _NO_NUMBERS
    return columns.lists(columns.lengths(items), pa.array(numbers[coded.indices.to_numpy()].astype(np.int32)))


def _hashed(item_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(item_id.encode(), digest_size=8).digest())
