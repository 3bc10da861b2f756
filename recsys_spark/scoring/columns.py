"""Between Arrow's list columns and NumPy arrays, without a loop over rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_spark.errors import BadDataError
from recsys_spark.ranking.beyond_accuracy import Categories

Array = NDArray[Any]


def matrix(column: pa.ListArray, length: int) -> Array:
    """Lists of `length` elements each as one array [B, length]; a null row becomes zeros.

    Raises:
        ValueError: a list has another length or a null inside.
    """
    num = lengths(column)
    elements = column.flatten()
    if elements.null_count or not np.isin(num, (0, length)).all():
        raise ValueError(f"expected lists of {length} without nulls, got lengths {np.unique(num)[:5]}")
    values = elements.to_numpy(zero_copy_only=False)
    out = np.zeros((len(num), length), dtype=values.dtype)
    out[num > 0] = values.reshape(-1, length)
    return out


def feature_rows(column: pa.ChunkedArray, num: int) -> NDArray[np.float32]:
    """The column `features` of ITEM_FEATURES as [rows, `num`].

    Raises:
        BadDataError: an item has another number of features, or one is not finite.
    """
    lists = column.combine_chunks()
    sizes = np.unique(pc.list_value_length(lists).to_numpy(zero_copy_only=False))
    values = lists.flatten().to_numpy(zero_copy_only=False)
    if sizes.tolist() != [num] or not np.isfinite(values).all():
        raise BadDataError(
            f"item_features: expected {num} finite features in each row, as feature_columns says, got "
            f"lengths {sizes.tolist()}; run build_features again"
        )
    return np.asarray(values.reshape(len(lists), num))


def longest(column: pa.ListArray) -> int:
    """Length of the longest list; 0 without any."""
    return int(lengths(column).max(initial=0))


def pairs(column: pa.ListArray) -> tuple[Array, Array]:
    """Every (row number, element) of lists of any length; null rows have none."""
    num = lengths(column)
    return np.repeat(np.arange(len(num)), num), column.flatten().to_numpy(zero_copy_only=False)


def places(num_elements: Array) -> Array:
    """The place of every element within its list, from 0."""
    starts = np.cumsum(num_elements) - num_elements
    return np.asarray(np.arange(num_elements.sum()) - np.repeat(starts, num_elements))


def lists(num_elements: Array, values: pa.Array) -> pa.ListArray:
    """Cut elements into one list a row, `num_elements` [B] each."""
    offsets = np.concatenate([[0], np.cumsum(num_elements)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def groups_of(item_features: pa.Table, column: str, num_items: int) -> Categories:
    """The names in a column of texts, or of lists of them, numbered: those of item i by item_idx, V in all."""
    ordered = item_features.select(["item_idx", column]).sort_by("item_idx")
    item_idx, values = ordered["item_idx"].to_numpy(), ordered[column].combine_chunks()
    is_list = pa.types.is_list(values.type)
    sizes = np.zeros(num_items, np.int64)
    sizes[item_idx] = lengths(values) if is_list else np.asarray(values.is_valid())
    names = (values.flatten() if is_list else values.drop_null()).cast(pa.string()).dictionary_encode()
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return Categories(starts, names.indices.to_numpy(), len(names.dictionary))


def lengths(column: pa.ListArray) -> Array:
    """Length of each list [B]; 0 for a null row."""
    return np.asarray(pc.fill_null(pc.list_value_length(column), 0), dtype=np.int64)
