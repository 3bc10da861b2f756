"""Lists as readers outside get them: each item spelled out, ids instead of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark import tables
from recsys_spark.python_tasks import FromPython
from recsys_spark.scoring import columns
from recsys_spark.scoring.catalogue import ids_by_idx

_ITEM_BYTES = 15  # of a listed item in Parquet, reasons left out
_REASON_BYTES = 13  # of each reason
_SCHEMA = tables.RECOMMENDATIONS.schema

Array = NDArray[Any]


def spelled_out(lists: DataFrame, item_features: pa.Table) -> FromPython:
    """Rows of RECOMMENDATIONS from rows of LISTS, in their partitions and order.

    Args:
        lists: of cut night.
        item_features: `item_idx` and `item_id` of the items of that cut.
    """
    shared = lists.sparkSession.sparkContext.broadcast(ids_by_idx(item_features))

    def spell(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            spelled = {"items": _items(batch, shared.value)}
            arrays = [spelled[name] if name in spelled else batch[name] for name in _SCHEMA.names]
            yield pa.RecordBatch.from_arrays(arrays, names=_SCHEMA.names)

    return FromPython(lists, spell, _SCHEMA)


def has_reasons(lists: DataFrame) -> bool:
    """Whether any list says why it holds its items; runs a Spark job that ends with the first."""
    return not lists.where(F.size("because") > 0).isEmpty()


def num_bytes(num_items: int, num_reasons: int) -> int:
    """What so many listed items of so many reasons each take in files of RECOMMENDATIONS, about."""
    return num_items * (_ITEM_BYTES + _REASON_BYTES * num_reasons)


def _items(lists: pa.RecordBatch, item_ids: pa.Array) -> pa.ListArray:
    """One list of structs a row."""
    num_items = columns.lengths(lists["items"])
    struct = {
        "item_id": item_ids.take(lists["items"].flatten()),
        "rank": pa.array((columns.places(num_items) + 1).astype(np.int32)),
        "score": lists["scores"].flatten(),
        "source": _sources(lists["filled_by"]),
        "because": _reasons(lists, num_items, item_ids),
    }
    return columns.lists(num_items, pa.StructArray.from_arrays(list(struct.values()), names=list(struct)))


def _reasons(lists: pa.RecordBatch, num_items: Array, item_ids: pa.Array) -> pa.ListArray:
    """Those of every item of every list; a list of R reasons an item has as many each, zeros among them."""
    num = columns.lengths(lists["because"])
    of_each = num // np.maximum(num_items, 1)  # R, or 0
    item = np.repeat(np.cumsum(num_items) - num_items, num) + columns.places(num) // np.repeat(of_each, num)
    because = lists["because"].flatten().to_numpy(zero_copy_only=False)
    is_one = because > 0
    structs = pa.StructArray.from_arrays(
        [
            item_ids.take(pa.array(because[is_one])),
            lists["because_scores"].flatten().filter(pa.array(is_one)),
        ],
        names=["item_id", "score"],
    )
    return columns.lists(np.bincount(item[is_one], minlength=num_items.sum()), structs)


def _sources(filled_by: pa.ListArray) -> pa.Array:
    """The source of every item of every list."""
    runs = filled_by.flatten()
    run_of_item = np.repeat(np.arange(len(runs)), runs.field("num_items").to_numpy())
    return runs.field("source").take(pa.array(run_of_item))
