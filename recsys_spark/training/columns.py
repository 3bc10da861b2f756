"""Arrow columns as NumPy arrays, checked, without a loop over rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys_spark.compiled import compiled
from recsys_spark.errors import BadDataError

Array = npt.NDArray[Any]


class ColumnType(NamedTuple):
    """What a column must hold: the element type, and the length of its lists (0: no list)."""

    dtype: str
    length: int = 0

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row's value."""
        return (self.length,) if self.length else ()


def to_numpy(table: pa.Table, name: str, kind: ColumnType, where: str) -> Array:
    """One column as `[rows]` or `[rows, length]`, without copying where it is one chunk.

    Flattening and reshaping would hide lists of 3 + 1 + 2 elements where 2 + 2 + 2 are meant, so
    the list offsets are compared one by one.

    Raises:
        BadDataError: a null list or element, a list of another length, or another type.
    """
    column = _one_chunk(table.column(name))
    expected = pa.from_numpy_dtype(np.dtype(kind.dtype))
    wanted = pa.list_(expected) if kind.length else expected
    fault = f"{where}: column {name}:"
    if not _same_type(column.type, wanted):
        raise BadDataError(f"{fault} expected {wanted}, got {column.type}; run build_features again")
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise BadDataError(f"{fault} null in row {row}; expected {_a_row_of(kind)}")
    if not kind.length:
        return np.asarray(column.to_numpy(zero_copy_only=False))
    lengths = np.diff(column.offsets.to_numpy())
    if (wrong := np.flatnonzero(lengths != kind.length)).size:
        raise BadDataError(
            f"{fault} row {wrong[0]} has {lengths[wrong[0]]} elements; expected {_a_row_of(kind)}; "
            "features.history_length changed since build_features ran, or the file is damaged"
        )
    values = column.flatten()
    if values.null_count:
        place = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
        raise BadDataError(f"{fault} null element in row {place // kind.length}; expected {_a_row_of(kind)}")
    return np.asarray(values.to_numpy(zero_copy_only=True)).reshape(-1, kind.length)


def put(target: Array, places: npt.NDArray[np.int64], rows: Array) -> None:
    """`target[places] = rows`, for numbers and for rows of numbers, while other threads run."""
    width = rows.shape[1] if rows.ndim > 1 else 1
    _put(target.reshape(-1, width), places, rows.reshape(-1, width))


@compiled
def _put(target: Array, places: npt.NDArray[np.int64], rows: Array) -> None:
    for row in range(len(places)):
        place = places[row]
        for column in range(rows.shape[1]):
            target[place, column] = rows[row, column]


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _same_type(got: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_list(wanted):
        return bool(pa.types.is_list(got)) and got.value_type == wanted.value_type
    return bool(got == wanted)


def _a_row_of(kind: ColumnType) -> str:
    return f"{kind.length} {kind.dtype} values" if kind.length else f"one {kind.dtype} value"
