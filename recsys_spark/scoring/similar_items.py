"""The items most like each item: by the cosine of item vectors, or what most follows it; the same exact top-N."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from recsys_spark import tables
from recsys_spark.python_tasks import through_python
from recsys_spark.ranking import item_item
from recsys_spark.ranking.top_n import Lists, candidates, is_filled, top_n
from recsys_spark.scoring import columns, known_models
from recsys_spark.scoring.catalogue import Catalogue
from recsys_spark.scoring.forms import Vectors, ranking
from recsys_spark.scoring.known_models import KnownModel, LoadedModel
from recsys_spark.scoring.ranker import kinds

Array = NDArray[Any]
Alike = Callable[[Array, int], Lists]

_RANKED = StructType([f for f in tables.ITEM_LISTS.schema if f.name != "run_date"])


def similar_items(
    item_features: DataFrame,
    items: Catalogue,
    model: KnownModel | None,
    num_similar: int,
    batch_items: int,
    num_threads: int,
    run_date: dt.date,
) -> DataFrame:
    """One row of ITEM_LISTS for each item the model was trained on; no row without a model."""
    frame = item_features.select("item_idx", "item_id").where(F.lit(model is not None))
    shared = frame.sparkSession.sparkContext.broadcast(items)

    def rank(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        if model is None:
            return
        known_models.cap_threads(num_threads)
        alike = None
        for batch in batches:
            loaded = known_models.load(model, num_threads)
            alike = alike or most_alike(loaded, shared.value)
            for start in range(0, batch.num_rows, batch_items):
                yield _lists(batch.slice(start, batch_items), shared.value, loaded, alike, num_similar)

    return through_python(frame, rank, _RANKED).withColumn("run_date", F.lit(run_date))


def most_alike(model: LoadedModel, items: Catalogue) -> Alike:
    """What finds the trained items on offer to anybody that are most like each of some trained ones."""
    is_allowed = kinds(model.is_trained, items) > 0
    if isinstance(model.form, Vectors):
        return _by_cosine(model.form.directions, is_allowed)
    follow = ranking(model.form, is_allowed, item_item.ALLOWED)

    def after(item_idx: Array, num_similar: int) -> Lists:
        """As if the item were all that a user's history holds."""
        users = np.arange(len(item_idx))
        return follow({"items": item_idx[:, None]})(
            users, np.zeros_like(users), num_similar, (users, item_idx)
        )

    return after


def _by_cosine(vectors: Array, is_allowed: Array) -> Alike:
    others = candidates(vectors, is_allowed)

    def nearest(item_idx: Array, num_similar: int) -> Lists:
        return top_n(vectors[item_idx], others, num_similar, (np.arange(len(item_idx)), item_idx))

    return nearest


def _lists(
    batch: pa.RecordBatch, items: Catalogue, model: LoadedModel, alike: Alike, num_similar: int
) -> pa.RecordBatch:
    item_idx = batch["item_idx"].to_numpy()
    known = np.where(item_idx < len(model.is_trained), item_idx, 0)
    kept = np.flatnonzero(model.is_trained[known])
    own = known[kept]
    best = alike(own, num_similar)
    filled = is_filled(best)
    listed = pa.array(best.item_idx[filled])
    struct = {
        "item_id": items.item_ids.take(listed),
        "rank": pa.array((np.nonzero(filled)[1] + 1).astype(np.int32)),
        "score": pa.array(best.scores[filled]),
        "source": pa.array([model.name] * len(listed), pa.string()),
    }
    rows = {
        "item_id": batch["item_id"].take(pa.array(kept)),
        "items": columns.lists(
            best.num_items, pa.StructArray.from_arrays(list(struct.values()), names=list(struct))
        ),
        "model_version": pa.array([model.version] * len(kept), pa.string()),
    }
    return pa.RecordBatch.from_arrays(list(rows.values()), names=list(rows))
