"""The items most like each item, as the model's form sees it: the same exact top-N."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from recsys_spark import tables
from recsys_spark.forms.form import Similar, only_known
from recsys_spark.python_tasks import through_python
from recsys_spark.ranking.top_n import is_filled
from recsys_spark.scoring import columns, loaded_models
from recsys_spark.scoring.bases import Basis
from recsys_spark.scoring.catalogue import Catalogue
from recsys_spark.scoring.loaded_models import LoadedModel
from recsys_spark.scoring.rules import ListSettings

_RANKED = StructType([f for f in tables.ITEM_LISTS.schema if f.name != "run_date"])


def similar_items(
    item_features: DataFrame,
    basis: Basis,
    settings: ListSettings,
    run_date: dt.date,
) -> DataFrame:
    """One row of ITEM_LISTS for each item the model was trained on; no row without a model."""
    model, num_threads, batch_items = basis.model, settings.num_threads, settings.batch_users
    frame = item_features.select("item_idx", "item_id").where(F.lit(model is not None))
    shared = frame.sparkSession.sparkContext.broadcast(basis.items)

    def rank(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        if model is None:
            return
        loaded_models.cap_threads(num_threads)
        similar = None
        for batch in batches:
            loaded = loaded_models.load(model, num_threads)
            similar = similar or loaded.form.similar(shared.value.eligible.of_form(loaded.form.is_trained))
            for start in range(0, batch.num_rows, batch_items):
                yield _lists(
                    batch.slice(start, batch_items), shared.value, loaded, similar, settings.num_similar
                )

    return through_python(frame, rank, _RANKED).withColumn("run_date", F.lit(run_date))


def _lists(
    batch: pa.RecordBatch, items: Catalogue, model: LoadedModel, similar: Similar, num_similar: int
) -> pa.RecordBatch:
    item_idx = batch["item_idx"].to_numpy()
    is_trained = model.form.is_trained
    kept = np.flatnonzero(is_trained[only_known(item_idx, len(is_trained))])
    best = similar(item_idx[kept], num_similar)
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
