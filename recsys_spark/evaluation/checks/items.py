"""What the checks know of the items, from ITEM_FEATURES alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Array = NDArray[Any]
Flags = NDArray[np.bool_]

COLUMNS = (  # of ITEM_FEATURES
    "item_idx", "item_id", "is_available", "popularity", "num_events", "categories", "seller", "segments", "min_age",
)  # fmt: skip


class Groups(NamedTuple):
    """The groups of item i: `codes[starts[i] : starts[i + 1]]`, from 0 below `num`."""

    starts: Array
    codes: Array
    num: int


class Items(NamedTuple):
    """Facts [V] by item_idx; an item without a row is not known, and whatever else is false.

    Attributes:
        is_blocked: nobody gets it, as the rules say.
        num_events: of a known item.
        segment_set: number of the item's set in `segment_sets`; an empty set is everybody.
        min_age: 0 for everybody.
    """

    is_known: Flags
    is_available: Flags
    is_used: Flags
    is_blocked: Flags
    num_events: Array
    segment_set: Array
    segment_sets: tuple[frozenset[str], ...]
    min_age: Array
    categories: Groups
    sellers: Groups

    def facts_of(self, item_idx: Array) -> Array:
        """The numbers under which facts stand: of an item beyond V, that of one without a row."""
        return np.where((item_idx > 0) & (item_idx < len(self.is_known)), item_idx, 0)


def items_of(
    item_features: pa.Table, blocked_items: Sequence[str] = (), blocked_categories: Sequence[str] = ()
) -> Items:
    """Arrange the rows of one cut by item_idx; V is one more than the greatest."""
    rows = item_features.combine_chunks().sort_by("item_idx")
    item_idx = rows["item_idx"].to_numpy()
    num = int(item_idx.max(initial=0)) + 1
    categories = _groups(rows["categories"], item_idx, num)
    is_blocked = _is_one_of(rows["item_id"].combine_chunks(), blocked_items)
    blocked = _flags(item_idx[is_blocked], num)
    blocked |= _with_category(rows["categories"], item_idx, num, blocked_categories)
    segments = [frozenset(names or ()) for names in rows["segments"].to_pylist()]
    sets = tuple(dict.fromkeys([frozenset[str](), *segments]))
    number_of = {names: number for number, names in enumerate(sets)}
    return Items(
        is_known=_flags(item_idx, num),
        is_available=_flags(item_idx[_is_true(rows["is_available"])], num),
        is_used=_flags(item_idx[pc.fill_null(rows["popularity"], 0.0).to_numpy() > 0], num),
        is_blocked=blocked,
        num_events=_numbers(rows["num_events"], item_idx, num),
        segment_set=_placed(np.array([number_of[names] for names in segments], np.int64), item_idx, num),
        segment_sets=sets,
        min_age=_numbers(rows["min_age"], item_idx, num),
        categories=categories,
        sellers=_groups(rows["seller"], item_idx, num),
    )


def _with_category(column: pa.ChunkedArray, item_idx: Array, num: int, names: Sequence[str]) -> Flags:
    values = column.combine_chunks()
    row = np.asarray(pc.list_parent_indices(values))
    return _flags(item_idx[row[_is_one_of(values.flatten(), names)]], num)


def _is_one_of(values: pa.Array, names: Sequence[str]) -> Flags:
    is_one = pc.is_in(values, pa.array(list(names), pa.string()))
    return np.asarray(pc.fill_null(is_one, False).to_numpy(zero_copy_only=False), np.bool_)


def _groups(column: pa.ChunkedArray, item_idx: Array, num: int) -> Groups:
    """Of a column of texts, or of lists of them, in the order of item_idx; nulls are no group."""
    values = column.combine_chunks()
    is_list = pa.types.is_list(values.type)
    row = np.asarray(pc.list_parent_indices(values)) if is_list else np.arange(len(values))
    names = values.flatten() if is_list else values
    is_one = np.asarray(names.is_valid())
    coded = names.drop_null().cast(pa.string()).dictionary_encode()
    sizes = np.bincount(item_idx[row[is_one]], minlength=num)
    return Groups(np.concatenate([[0], np.cumsum(sizes)]), coded.indices.to_numpy(), len(coded.dictionary))


def _flags(item_idx: Array, num: int) -> Flags:
    flags = np.zeros(num, np.bool_)
    flags[item_idx] = True
    return flags


def _numbers(column: pa.ChunkedArray, item_idx: Array, num: int) -> Array:
    return _placed(pc.fill_null(column, 0).to_numpy(), item_idx, num)


def _placed(values: Array, item_idx: Array, num: int) -> Array:
    out = np.zeros(num, values.dtype)
    out[item_idx] = values
    return out


def _is_true(column: pa.ChunkedArray) -> Flags:
    return np.asarray(pc.fill_null(column, False).to_numpy(), np.bool_)
