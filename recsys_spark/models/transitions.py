"""`transitions`: what tends to follow the user's latest items, counted in Spark.

`score(u, j) = sum over the events of the history of history_decay^r x W[item, j]`, r = 0 for the newest event, and
`W[i, j] = count[i, j] / (sum of count[i, :])^row_power`. Power 0 keeps raw counts, so frequent items weigh
more; 1 makes shares, so all weigh the same.

Source: the sequential rules of Ludewig and Jannach, Evaluation of session-based recommendation algorithms,
2018, 3.1.3. Differs: lags decay geometrically instead of by 1/lag, the whole history counts and not its
last item alone, and rows are divided by a power of their sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark.errors import BadDataError
from recsys_spark.forms.item_item import ItemItem, Weighing
from recsys_spark.ranking.item_item import ItemWeights
from recsys_spark.transforms import transition_counts as counting

_ROWS_AT_ONCE = 4_000_000  # pairs that Spark hands over in one piece: 64 MB

Array = NDArray[Any]


def fit(windows: DataFrame, item_counts: NDArray[np.int64], settings: Mapping[str, Any]) -> ItemItem:
    """Count, keep each item's greatest counts, and arrange them as rows of weights.

    Args:
        windows: SEQUENCE_EXAMPLES of one cut.
        item_counts: [V], training events of each item.
        settings: section `transitions`.

    Raises:
        BadDataError: windows hold an item that is not below V.
    """
    counts = counting.transition_counts(windows, settings["max_lag"], settings["lag_decay"])
    nearest = counting.only_nearest(counts, settings["max_neighbours"]).persist()
    try:
        counted = pa.concat_tables(_parts(nearest, len(item_counts), settings["max_neighbours"]))
    finally:
        nearest.unpersist()
    item_idx, next_item_idx, count = (column.to_numpy() for column in counted.itercolumns())
    matrix = weights(item_idx, next_item_idx, count, len(item_counts), settings["row_power"])
    return ItemItem(matrix, item_counts > 0, Weighing("rank", settings["history_decay"]))


def weights(
    item_idx: Array, next_item_idx: Array, counts: Array, num_items: int, row_power: float
) -> ItemWeights:
    """Counts of ordered pairs as rows of W.

    Args:
        item_idx, next_item_idx: of each pair, below V, in any order; a pair comes once.
        counts: of each pair, whole numbers above 0.
        num_items: V.
    """
    order = np.lexsort((next_item_idx, item_idx))
    of_row = np.bincount(item_idx, minlength=num_items)
    starts = np.concatenate([[0], np.cumsum(of_row)]).astype(np.int64)
    sorted_counts = counts[order].astype(np.int64)
    until = np.concatenate([[0], np.cumsum(sorted_counts)])  # whole numbers: the sums are exact
    sums = np.repeat(until[starts[1:]] - until[starts[:-1]], of_row)
    shares = sorted_counts / sums.astype(np.float64) ** row_power
    return ItemWeights(starts, next_item_idx[order].astype(np.int32), shares.astype(np.float32))


def _parts(nearest: DataFrame, num_items: int, max_neighbours: int) -> list[pa.Table]:
    """The pairs as Arrow tables, one a range of items, so that no piece is larger than the driver takes."""
    [row] = nearest.agg(F.max(F.greatest("item_idx", "next_item_idx")).alias("last")).collect()
    if row["last"] is not None and row["last"] >= num_items:
        raise BadDataError(
            f"sequence_examples: item_idx {row['last']}, expected below {num_items}, the items with an event in "
            "item_features; run build_features again"
        )
    step = max(1, _ROWS_AT_ONCE // max_neighbours)
    item = F.col("item_idx")
    return [
        nearest.where((item >= start) & (item < start + step)).toArrow()
        for start in range(0, num_items, step)
    ]
