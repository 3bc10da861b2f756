"""The loop of diversity, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.compiled import compiled


@compiled
def cosines_of(
    item_idx: NDArray[Any], starts: NDArray[np.int64], codes: NDArray[np.int32], num_categories: int
) -> NDArray[np.float64]:
    """The sum over pairs of each list [B]: what an item's categories have gathered from the items above it."""
    values, gathered = np.zeros(len(item_idx)), np.zeros(num_categories)
    for row in range(len(item_idx)):
        total = 0.0
        for item in item_idx[row]:
            begin, end = starts[item], starts[item + 1]
            if item > 0 and begin < end:
                unit, met = 1.0 / np.sqrt(end - begin), 0.0
                for place in range(begin, end):
                    met += gathered[codes[place]]
                    gathered[codes[place]] += unit
                total += met * unit
        for item in item_idx[row]:
            for place in range(starts[item], starts[item + 1]):
                gathered[codes[place]] = 0.0
        values[row] = total
    return values
