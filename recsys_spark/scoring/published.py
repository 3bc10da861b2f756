"""Lists as readers outside get them: each place spelled out, with ids in place of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from recsys_spark import tables
from recsys_spark.python_tasks import Made
from recsys_spark.scoring import columns
from recsys_spark.scoring.catalogue import ids_by_idx

_PLACE_BYTES = 15  # of a listed place in Parquet, reasons left out
_REASON_BYTES = 13  # of its reason
_SCHEMA = tables.RECOMMENDATIONS.schema


def published(lists: DataFrame, item_features: pa.Table) -> Made:
    """Rows of RECOMMENDATIONS from rows of LISTS, in their partitions and order.

    Args:
        lists: of cut night.
        item_features: `item_idx` and `item_id` of the items of that cut.
    """
    shared = lists.sparkSession.sparkContext.broadcast(ids_by_idx(item_features))

    def spell(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            told = [_places(batch, shared.value) if n == "items" else batch[n] for n in _SCHEMA.names]
            yield pa.RecordBatch.from_arrays(told, names=_SCHEMA.names)

    return Made(lists, spell, _SCHEMA)


def num_bytes(num_places: int, has_reasons: bool) -> int:
    """What so many listed places take in files of RECOMMENDATIONS, about."""
    return num_places * (_PLACE_BYTES + (_REASON_BYTES if has_reasons else 0))


def _places(lists: pa.RecordBatch, item_ids: pa.Array) -> pa.ListArray:
    """One list of structs a row."""
    num_items = columns.lengths(lists["items"])
    because = columns.elements(lists["because"], num_items)
    is_none = because == 0
    struct = {
        "item_id": item_ids.take(lists["items"].flatten()),
        "rank": pa.array((columns.places(num_items) + 1).astype(np.int32)),
        "score": lists["scores"].flatten(),
        "source": _sources(lists["filled_by"]),
        "because": item_ids.take(pa.array(because, mask=is_none)),
        "because_score": pa.array(columns.elements(lists["because_scores"], num_items), mask=is_none),
    }
    return columns.lists(num_items, pa.StructArray.from_arrays(list(struct.values()), names=list(struct)))


def _sources(filled_by: pa.ListArray) -> pa.Array:
    """The source of every place of every list."""
    runs = filled_by.flatten()
    of_place = np.repeat(np.arange(len(runs)), runs.field("num_items").to_numpy())
    return runs.field("source").take(pa.array(of_place))
