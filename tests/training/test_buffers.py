"""Memory is given out again only when nobody holds rows of it."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_spark.training.buffers import Buffers
from recsys_spark.training.columns import ColumnType

COLUMNS = {"label": ColumnType("float32"), "items": ColumnType("int32", 3), "big": ColumnType("int64")}


def address(rows: dict[str, np.ndarray]) -> int:
    return int(rows["label"].ctypes.data)


def test_columns_have_their_shapes_and_lie_where_tensorflow_takes_them_over() -> None:
    for num_rows in (0, 1, 7, 4096):
        rows = Buffers().rows(num_rows, COLUMNS)
        assert {name: (array.dtype.name, array.shape) for name, array in rows.items()} == {
            "label": ("float32", (num_rows,)),
            "items": ("int32", (num_rows, 3)),
            "big": ("int64", (num_rows,)),
        }
        assert {array.ctypes.data % 64 for array in rows.values()} == {0}


def test_columns_do_not_share_memory() -> None:
    rows = Buffers().rows(5, COLUMNS)
    for number, array in enumerate(rows.values()):
        array[:] = number
    assert [np.unique(array).tolist() for array in rows.values()] == [[0], [1], [2]]


def test_what_nobody_holds_is_used_again_for_as_many_rows_or_fewer() -> None:
    buffers = Buffers()
    first = address(buffers.rows(1000, COLUMNS))
    assert address(buffers.rows(1000, COLUMNS)) == first
    assert address(buffers.rows(900, COLUMNS)) == first
    assert address(buffers.rows(2000, COLUMNS)) != first


@pytest.mark.parametrize("part", ["label", "items", "big"])
def test_what_somebody_holds_a_part_of_is_not(part: str) -> None:
    buffers = Buffers()
    rows = buffers.rows(1000, COLUMNS)
    first, held = address(rows), rows[part][500:600].reshape(-1)[:1]
    del rows
    others = [address(buffers.rows(1000, COLUMNS)) for _ in range(5)]
    assert first not in others
    assert len(set(others)) == 1  # one more memory is enough
    del held
    both = [buffers.rows(1000, COLUMNS), buffers.rows(1000, COLUMNS)]
    assert first in map(address, both)


def test_no_more_than_three_are_kept() -> None:
    buffers = Buffers()
    held = [buffers.rows(1000, COLUMNS) for _ in range(10)]
    assert len({address(rows) for rows in held}) == 10
    assert len(buffers._kept) == 3
