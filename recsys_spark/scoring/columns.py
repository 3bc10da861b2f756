"""Between Arrow's list columns and NumPy arrays, without a loop over rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Array = NDArray[Any]


def matrix(column: pa.ListArray, length: int) -> Array:
    """Lists of `length` elements each as one array [B, length]; a null row becomes zeros.

    Raises:
        ValueError: a list has another length or a null inside.
    """
    lengths = _lengths(column)
    elements = column.flatten()
    if elements.null_count or not np.isin(lengths, (0, length)).all():
        raise ValueError(f"expected lists of {length} without nulls, got lengths {np.unique(lengths)[:5]}")
    values = elements.to_numpy(zero_copy_only=False)
    out = np.zeros((len(lengths), length), dtype=values.dtype)
    out[lengths > 0] = values.reshape(-1, length)
    return out


def longest(column: pa.ListArray) -> int:
    """Length of the longest list; 0 without any."""
    return int(_lengths(column).max(initial=0))


def pairs(column: pa.ListArray) -> tuple[Array, Array]:
    """Every (row number, element) of lists of any length; null rows have none."""
    lengths = _lengths(column)
    return np.repeat(np.arange(len(lengths)), lengths), column.flatten().to_numpy(zero_copy_only=False)


def lists(num_elements: Array, columns: dict[str, pa.Array]) -> pa.ListArray:
    """Cut equally long columns into one list of structs a row, `num_elements` [B] each."""
    offsets = np.concatenate([[0], np.cumsum(num_elements)]).astype(np.int32)
    structs = pa.StructArray.from_arrays(list(columns.values()), names=list(columns))
    return pa.ListArray.from_arrays(pa.array(offsets), structs)


def _lengths(column: pa.ListArray) -> Array:
    return np.asarray(pc.fill_null(pc.list_value_length(column), 0), dtype=np.int64)
