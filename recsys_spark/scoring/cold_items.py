"""Items on offer that a model was not trained on, with vectors from their features: made on the driver."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from recsys_spark.errors import BadDataError
from recsys_spark.models import artifacts, item_tower
from recsys_spark.models.item_tower import Columns, Tower
from recsys_spark.ranking.warm_and_cold import ColdItems
from recsys_spark.scoring.catalogue import Catalogue
from recsys_spark.scoring.columns import feature_rows
from recsys_spark.scoring.known_models import KnownModel

log = logging.getLogger(__name__)

_AT_ONCE = 65_536  # items whose features are numbers of 8 bytes at a time


def cold_items(
    item_features: DataFrame, feature_columns: pa.Table, items: Catalogue, model: KnownModel
) -> ColdItems | None:
    """The items that a model ranks by their features; None when there are none. Runs a Spark job.

    Args:
        item_features: rows of ITEM_FEATURES that may be candidates, of one cut; trained items are not fetched.
        feature_columns: rows of FEATURE_COLUMNS of that cut.
        items: of that cut; who is on offer.
        model: one for which `has_tower` is true.

    Raises:
        BadDataError: a file of the model or a row of the features breaks its contract.
    """
    folder = model.fetch(model.version)
    used = (artifacts.TRAINED_ITEMS, artifacts.ITEM_TOWER)
    artifacts.verify(folder, {name: model.files[name] for name in used})
    found = _untrained(item_features, folder)
    item_idx = found["item_idx"].to_numpy()
    vectors, is_known = _vectors(
        found, item_tower.columns_of(feature_columns.to_pylist()), _tower(model, folder)
    )
    kind = items.offer.kind[item_idx]
    kept = is_known & (kind > 0)
    log.info(
        "cold_items model=%s version=%s items=%d left_out=%d",
        model.name, model.version, kept.sum(), len(kept) - kept.sum(),
    )  # fmt: skip
    return ColdItems(item_idx[kept], vectors[kept], kind[kept]) if kept.any() else None


def has_tower(model: KnownModel) -> bool:
    """Whether the model can rank items it was not trained on; says so in the log when it should and cannot."""
    is_there = model.content is not None and artifacts.ITEM_TOWER in model.files
    if not is_there and artifacts.ITEM_VECTORS in model.files:
        log.info("cold_items_left_out model=%s version=%s reason=no_item_tower", model.name, model.version)
    return is_there


def _untrained(item_features: DataFrame, folder: Path) -> pa.Table:
    """`item_idx` and `features` of the items that are no candidates of the model, by item_idx."""
    trained = np.flatnonzero(artifacts.load_trained_items(folder)).astype(np.int32)
    rows = item_features.sparkSession.createDataFrame(pa.table({"item_idx": trained}))
    on_offer = item_features.where("is_available").select("item_idx", "features")
    return on_offer.join(rows, "item_idx", how="left_anti").toArrow().sort_by("item_idx")


def _tower(model: KnownModel, folder: Path) -> Tower:
    rows = artifacts.load_array(folder / artifacts.ITEM_TOWER, None)
    if model.content is None or len(rows) != len(model.content.names) + 1:
        raise BadDataError(
            f"model {model.name} {model.version[:12]} of {model.run_date}: {artifacts.ITEM_TOWER} has "
            f"{len(rows)} rows, expected one for each column of its manifest and one more; train again"
        )
    return Tower(model.content, rows)


def _vectors(
    found: pa.Table, columns: Columns, tower: Tower
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    num = len(columns.names)
    features = feature_rows(found["features"], num) if len(found) else np.zeros((0, num), np.float32)
    vectors = np.empty((len(features), tower.rows.shape[1]), np.float32)
    is_known = np.empty(len(features), np.bool_)
    for start in range(0, len(features), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        vectors[part], is_known[part] = item_tower.vectors(features[part], columns, tower)
    return vectors, is_known
