"""How counts of what follows what become rows of weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys_spark.models import transitions
from recsys_spark.ranking.item_item import ItemWeights

PAIRS = np.array([[4, 3, 2], [2, 5, 12], [4, 2, 14], [2, 3, 4]])  # item, next item, count


def weights(pairs: Any = PAIRS, row_power: float = 0.5) -> ItemWeights:
    return transitions.weights(*np.asarray(pairs).T, num_items=6, row_power=row_power)


def test_rows_stand_by_item_and_next_item_and_are_divided_by_a_power_of_their_sum() -> None:
    rows = weights()
    assert rows.starts.tolist() == [0, 0, 0, 2, 2, 4, 4]
    assert rows.neighbours.tolist() == [3, 5, 2, 3]
    assert rows.weights.tolist() == [1, 3, 3.5, 0.5]  # 4 and 12 over 4, 14 and 2 over 4
    assert weights(row_power=0).weights.tolist() == [4, 12, 14, 2]
    assert weights(row_power=1).weights.tolist() == [0.25, 0.75, 0.875, 0.125]
    assert (rows.starts.dtype, rows.neighbours.dtype, rows.weights.dtype) == (np.int64, np.int32, np.float32)


def test_the_order_of_the_pairs_does_not_matter() -> None:
    for one, other in zip(vars(weights()).values(), vars(weights(PAIRS[::-1])).values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_sums_beyond_what_a_double_holds_are_exact() -> None:
    rows = weights([[2, 3, 2**60 + 1], [2, 4, 2**60], [3, 4, 3]], row_power=1)
    assert rows.weights.tolist() == [0.5, 0.5, 1.0]


def test_without_a_pair_every_row_is_empty() -> None:
    rows = weights(np.zeros((0, 3), np.int64))
    assert rows.starts.tolist() == [0] * 7
    assert len(rows.neighbours) == len(rows.weights) == 0
