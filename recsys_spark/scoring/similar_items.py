"""The items most like each item: cosine of item vectors, ranked by the same exact top-N."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from recsys_spark import tables
from recsys_spark.ranking.top_n import Candidates, candidates, top_n
from recsys_spark.scoring import columns, known_models
from recsys_spark.scoring.catalogue import Catalogue
from recsys_spark.scoring.known_models import KnownModel, LoadedModel

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
        others = None
        for batch in batches:
            loaded = known_models.load(model, num_threads)
            others = others or directions(loaded, shared.value)
            for start in range(0, batch.num_rows, batch_items):
                yield _lists(batch.slice(start, batch_items), shared.value, loaded, others, num_similar)

    return frame.mapInArrow(rank, _RANKED).withColumn("run_date", F.lit(run_date))


def directions(model: LoadedModel, items: Catalogue) -> Candidates:
    """Trained and available items with their vectors at length 1, the bias left out; zero stays zero."""
    is_available = np.zeros(len(model.is_trained), dtype=bool)
    both = min(len(is_available), len(items.is_available))
    is_available[:both] = items.is_available[:both]
    return candidates(_unit(model.item_vectors[:, :-1]), model.is_trained & is_available)


def _unit(vectors: np.ndarray) -> np.ndarray:
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(norms > 0, norms, 1)).astype(np.float32)


def _lists(
    batch: pa.RecordBatch, items: Catalogue, model: LoadedModel, others: Candidates, num_similar: int
) -> pa.RecordBatch:
    item_idx = batch["item_idx"].to_numpy()
    known = np.where(item_idx < len(model.is_trained), item_idx, 0)
    kept = np.flatnonzero(model.is_trained[known])
    own = known[kept]
    best = top_n(_unit(model.item_vectors[own][:, :-1]), others, num_similar, (np.arange(len(own)), own))
    filled = np.arange(num_similar)[None, :] < best.num_items[:, None]
    listed = pa.array(best.item_idx[filled])
    struct = {
        "item_id": items.item_ids.take(listed),
        "rank": pa.array((np.nonzero(filled)[1] + 1).astype(np.int32)),
        "score": pa.array(best.scores[filled]),
        "source": pa.array([model.name] * len(listed), pa.string()),
    }
    rows = {
        "item_id": batch["item_id"].take(pa.array(kept)),
        "items": columns.lists(best.num_items, struct),
        "model_version": pa.array([model.version] * len(kept), pa.string()),
    }
    return pa.RecordBatch.from_arrays(list(rows.values()), names=list(rows))
