"""What the lists of a cut are made of, beside the users."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame

from recsys_spark.ranking.warm_and_cold import ColdItems
from recsys_spark.scoring import cold_items
from recsys_spark.scoring.catalogue import Catalogue
from recsys_spark.scoring.stored_models import StoredModel
from recsys_spark.transforms import index


class Basis(NamedTuple):
    """Items and model of one cut.

    Attributes:
        model: None: popularity alone fills the lists.
        cold: items that the model ranks beside those it was trained on; None: there are none.
    """

    items: Catalogue
    model: StoredModel | None
    cold: ColdItems | None = None


def with_cold(
    basis: Basis,
    item_features: DataFrame,
    feature_columns: pa.Table,
    item_index: DataFrame,
    end: dt.datetime | None,
) -> Basis:
    """Add the items that the model ranks by their features. Runs a Spark job.

    Args:
        item_features: ITEM_FEATURES of the cut.
        feature_columns: FEATURE_COLUMNS of the cut.
        end: of the cut: items of `item_index` that nobody could have known before it stay out; None: all may come.

    Raises:
        BadDataError: a file of the model or a row of the features breaks its contract.
    """
    if basis.model is None or not cold_items.has_tower(basis.model):
        return basis
    if end is not None:
        known = index.known_before(item_index, end).select("item_idx")
        item_features = item_features.join(known, "item_idx", how="left_semi")
    return basis._replace(
        cold=cold_items.cold_items(item_features, feature_columns, basis.items, basis.model)
    )
