"""Fit transitions: counted in Spark, arranged in NumPy, kept as a model's folder."""

from __future__ import annotations

import datetime as dt
import json
import logging
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark.errors import BadDataError
from recsys_spark.models import transitions as model
from recsys_spark.training import index_hash
from recsys_spark.training.data import Keep, digest, num_events
from recsys_spark.transforms import content_hash
from recsys_spark.transforms import transition_counts as counting

log = logging.getLogger(__name__)

READ = ("items", "weights", "mask")  # of the windows
LIBRARIES = ("pyspark", "numpy")
_ROWS_AT_ONCE = 4_000_000  # pairs that Spark hands over in one piece: 64 MB


class Source(NamedTuple):
    """What one model learns from: all of one cut."""

    windows: DataFrame  # SEQUENCE_EXAMPLES
    items: pa.Table  # ITEM_FEATURES
    data_end: dt.datetime  # every event is before this instant


class Settings(NamedTuple):
    """Section `transitions` of the settings."""

    max_lag: int
    lag_decay: float
    max_neighbours: int
    row_power: float
    history_decay: float


def train(
    sources: Mapping[str, Source], item_index: pa.Table, settings: Settings, keep: Keep
) -> list[dict[str, Any]]:
    """Rows of MODELS without their run_date, one a role; the folders have been handed to `keep`.

    Args:
        sources: by role, twin and published.
        item_index: rows of ITEM_INDEX, at least those numbered below V.

    Raises:
        BadDataError: windows hold an item that the items' features do not count.
    """
    ids, rows = index_hash.ids_of(item_index), []
    for role, source in sources.items():
        began = time.monotonic()
        counts = num_events(source.items)
        fitted = _fitted(source.windows, counts > 0, settings)
        [data] = content_hash.content(source.windows, READ).collect()
        facts = {
            "settings": settings._asdict(),
            "libraries": {name: version(name) for name in LIBRARIES},
            "num_items": len(counts),
            "item_index_hash": index_hash.prefix_hash(ids, len(counts)),
            "num_neighbours": len(fitted.neighbours),
            "data": {
                "rows": data["num_rows"],
                "sha256": data["content_hash"],
                "items_sha256": digest(counts),
            },
        }
        with tempfile.TemporaryDirectory() as folder:
            name, files = model.save(Path(folder), settings._asdict(), fitted)
            keep(name, Path(folder))
        manifest = json.dumps(facts, sort_keys=True)
        rows.append(
            {
                "role": role, "data_end": source.data_end, "name": model.NAME, "version": name, "files": files,
                "manifest": manifest,
            }
        )  # fmt: skip
        log.info(
            "model_trained role=%s num_neighbours=%d seconds=%.1f",
            role,
            len(fitted.neighbours),
            time.monotonic() - began,
        )
    return rows


def _fitted(
    windows: DataFrame, trained_items: npt.NDArray[np.bool_], settings: Settings
) -> model.Transitions:
    counts = counting.transition_counts(windows, settings.max_lag, settings.lag_decay)
    nearest = counting.only_nearest(counts, settings.max_neighbours).persist()
    try:
        parts = _parts(nearest, len(trained_items), settings.max_neighbours)
    finally:
        nearest.unpersist()
    pairs = pa.concat_tables(parts)
    item_idx, next_item_idx, counted = (column.to_numpy() for column in pairs.itercolumns())
    return model.fit(
        item_idx, next_item_idx, counted, trained_items, settings.row_power, settings.history_decay
    )


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
