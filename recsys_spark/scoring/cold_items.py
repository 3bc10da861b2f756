"""Eligible items that a model was not trained on, with vectors from their features: made on the driver."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from recsys_spark.forms import folder as folders
from recsys_spark.forms import item_tower
from recsys_spark.forms.item_tower import Columns, Tower
from recsys_spark.ranking.warm_and_cold import ColdItems
from recsys_spark.scoring.catalogue import Catalogue
from recsys_spark.scoring.columns import feature_rows
from recsys_spark.scoring.stored_models import StoredModel

log = logging.getLogger(__name__)

_AT_ONCE = 65_536  # items whose features are numbers of 8 bytes at a time


def cold_items(
    item_features: DataFrame, feature_columns: pa.Table, items: Catalogue, model: StoredModel
) -> ColdItems | None:
    """The items that a model ranks by their features; None when there are none. Runs a Spark job.

    Args:
        item_features: rows of ITEM_FEATURES that may be candidates, of one cut; trained items are not fetched.
        feature_columns: rows of FEATURE_COLUMNS of that cut.
        items: of that cut; who may get what.
        model: one for which `has_tower` is true.

    Raises:
        BadDataError: a file of the model or a row of the features breaks its contract.
    """
    folder = model.fetch(model.version)
    used = (folders.TRAINED_ITEMS, item_tower.TOWER, item_tower.CONTENT)
    folders.verify(folder, {name: model.files[name] for name in used})
    untrained = _untrained(item_features, folder)
    item_idx = untrained["item_idx"].to_numpy()
    vectors, is_known = _vectors(
        untrained, item_tower.columns_of(feature_columns.to_pylist()), item_tower.load(folder)
    )
    kind = items.eligible.kind[item_idx]
    kept = is_known & (kind > 0)
    log.info(
        "cold_items model=%s version=%s items=%d left_out=%d",
        model.name, model.version, kept.sum(), len(kept) - kept.sum(),
    )  # fmt: skip
    return ColdItems(item_idx[kept], vectors[kept], kind[kept]) if kept.any() else None


def has_tower(model: StoredModel) -> bool:
    """Whether the model can rank items it was not trained on; says so in the log when it cannot."""
    is_there = item_tower.TOWER in model.files
    if not is_there:
        log.info("cold_items_left_out model=%s version=%s reason=no_item_tower", model.name, model.version)
    return is_there


def _untrained(item_features: DataFrame, folder: Path) -> pa.Table:
    """`item_idx` and `features` of the items that are no candidates of the model, by item_idx."""
    trained = np.flatnonzero(folders.load_trained_items(folder)).astype(np.int32)
    rows = item_features.sparkSession.createDataFrame(pa.table({"item_idx": trained}))
    available = item_features.where("is_available").select("item_idx", "features")
    return available.join(rows, "item_idx", how="left_anti").toArrow().sort_by("item_idx")


def _vectors(
    items: pa.Table, columns: Columns, tower: Tower
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    num = len(columns.names)
    features = feature_rows(items["features"], num) if len(items) else np.zeros((0, num), np.float32)
    vectors = np.empty((len(features), tower.rows.shape[1]), np.float32)
    is_known = np.empty(len(features), np.bool_)
    for start in range(0, len(features), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        vectors[part], is_known[part] = item_tower.vectors(features[part], columns, tower)
    return vectors, is_known
