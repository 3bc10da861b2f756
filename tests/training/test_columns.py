"""Lists become matrices only when every row is what the table promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys_spark.errors import BadDataError
from recsys_spark.training.columns import ColumnType, put, to_numpy

INTS2 = ColumnType("int32", 2)


def table(values: list[list[int | None] | None], element: pa.DataType | None = None) -> pa.Table:
    return pa.table({"items": pa.array(values, pa.list_(element or pa.int32()))})


def test_lists_become_one_matrix() -> None:
    got = to_numpy(table([[1, 2], [3, 4]]), "items", INTS2, "f row group 0")
    np.testing.assert_array_equal(got, np.array([[1, 2], [3, 4]], np.int32))
    assert got.dtype == np.int32


def test_a_slice_keeps_its_own_rows() -> None:
    got = to_numpy(table([[1, 2], [3, 4], [5, 6]]).slice(1, 2), "items", INTS2, "f")
    np.testing.assert_array_equal(got, [[3, 4], [5, 6]])


def test_several_chunks_are_joined_in_order() -> None:
    got = to_numpy(pa.concat_tables([table([[1, 2]]), table([[3, 4]])]), "items", INTS2, "f")
    np.testing.assert_array_equal(got, [[1, 2], [3, 4]])


def test_no_rows_give_an_empty_matrix() -> None:
    assert to_numpy(table([]), "items", INTS2, "f").shape == (0, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2, 3], [4], [5, 6]], "row 0 has 3 elements"),  # 3 + 1 + 2 flattens like 2 + 2 + 2
        ([[1, 2], []], "row 1 has 0 elements"),
        ([[1, 2], None], "null in row 1"),
        ([[1, 2], [3, None]], "null element in row 1"),
    ],
)
def test_a_list_that_is_not_two_integers_is_refused(
    values: list[list[int | None] | None], message: str
) -> None:
    with pytest.raises(BadDataError, match=f"part-0 row group 7: column items: {message}"):
        to_numpy(table(values), "items", INTS2, "part-0 row group 7")


def test_another_element_type_is_refused() -> None:
    with pytest.raises(BadDataError, match="expected list<item: int32>, got list<item: int64>"):
        to_numpy(table([[1, 2]], pa.int64()), "items", INTS2, "f")


def test_a_null_number_is_refused() -> None:
    with pytest.raises(BadDataError, match="null in row 1; expected one int32 value"):
        to_numpy(pa.table({"n": pa.array([1, None], pa.int32())}), "n", ColumnType("int32"), "f")


@pytest.mark.parametrize("rows", [[1.5, 2.5], [[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]]])
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
def test_rows_are_put_whole_at_their_places(rows: list[Any], dtype: str) -> None:
    given = np.array(rows, dtype)
    given.flags.writeable = False  # as Arrow's memory is
    target = np.zeros((4, *given.shape[1:]), dtype)
    put(target[1:], np.array([2, 0]), given)
    np.testing.assert_array_equal(target[[3, 1]], given)
    assert not target[[0, 2]].any()
