"""Which of the lake's models may fill lists, and loading one, once in each process."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from threadpoolctl import threadpool_limits

from recsys_spark.errors import TrainingError
from recsys_spark.models import artifacts, transitions
from recsys_spark.models.item_tower import Content
from recsys_spark.scoring.forms import HISTORY, Form, Vectors
from recsys_spark.transforms import index

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownModel:
    """A row of MODELS, and how a process gets a local copy of its folder.

    Attributes:
        content: the columns of its item tower; None: it has none.
    """

    name: str
    version: str
    run_date: dt.date
    files: dict[str, str]
    num_items: int
    item_index_hash: str
    fetch: Callable[[str], Path]
    content: Content | None = None


@dataclass(frozen=True)
class LoadedModel:
    """A model in this process: its form, and which items [V] it learnt from."""

    name: str
    version: str
    form: Form
    is_trained: NDArray[np.bool_]


_loaded: dict[tuple[str, int], LoadedModel] = {}


def newest(
    models: pa.Table,
    name: str,
    role: str,
    run_date: dt.date,
    max_age_days: int,
    data_end: dt.datetime,
    fetch: Callable[[str], Path],
) -> KnownModel | None:
    """The model of the latest run date up to `run_date` that is young enough and learnt nothing later.

    Args:
        models: rows of MODELS.
        role: twin | published.
        max_age_days: from the model's run date to `run_date`, inclusive.
        data_end: exclusive end of what the lists may know; a model that learnt from later events is passed.
        fetch: gives the local folder of a version.
    """
    oldest = run_date - dt.timedelta(days=max_age_days)
    rows = [
        row
        for row in models.to_pylist()
        if row["name"] == name
        and row["role"] == role
        and oldest <= row["run_date"] <= run_date
        and _utc(row["data_end"]) <= _utc(data_end)
    ]
    if not rows:
        log.info("no_model name=%s role=%s run_date=%s max_age_days=%d", name, role, run_date, max_age_days)
        return None
    row = max(rows, key=lambda row: row["run_date"])
    manifest = json.loads(row["manifest"])
    log.info(
        "model_chosen name=%s role=%s run_date=%s version=%s", name, role, row["run_date"], row["version"]
    )
    return KnownModel(
        name,
        row["version"],
        row["run_date"],
        dict(row["files"]),
        int(manifest["num_items"]),
        manifest["item_index_hash"],
        fetch,
        Content(**manifest["content"]) if "content" in manifest else None,
    )


def refuse_another_index(model: KnownModel, item_index: DataFrame) -> None:
    """Compare the items the model learnt with the same numbers of today's index; runs a Spark job.

    Raises:
        TrainingError: the model's index is not a prefix of today's.
    """
    [row] = index.prefix_hash(item_index, "item", model.num_items).collect()
    if row["prefix_hash"] != model.item_index_hash:
        raise TrainingError(
            f"model {model.name} {model.version[:12]} of {model.run_date}: its {model.num_items} item numbers "
            f"are not a prefix of item_index (expected {model.item_index_hash[:12]}, got "
            f"{row['prefix_hash'][:12]}); train again or restore the index"
        )


def history_columns(model: KnownModel | None, rerank_by: str) -> tuple[str, ...]:
    """The columns of HISTORIES that ranking by the model reads; none for popularity."""
    if model is None:
        return ()
    if model.name != transitions.NAME:
        return HISTORY
    return ("items", "weights") if rerank_by == "calibration" else ("items",)


def load(model: KnownModel, num_threads: int) -> LoadedModel:
    """Verify and open a model; later calls in this process get the same object.

    Raises:
        BadDataError: a file of the model is missing or changed.
    """
    key = (model.version, num_threads)
    if key not in _loaded:
        folder = model.fetch(model.version)
        artifacts.verify(folder, model.files)
        form = transitions.load(folder) if model.name == transitions.NAME else _vectors(folder, num_threads)
        _loaded[key] = LoadedModel(model.name, model.version, form, artifacts.load_trained_items(folder))
    return _loaded[key]


def _vectors(folder: Path, num_threads: int) -> Vectors:
    # This starts TensorFlow: only processes that encode users by a network may pay for it.
    from recsys_spark.models import self_attention

    encode = self_attention.load_encoder(folder, num_threads)
    return Vectors(encode, artifacts.load_item_vectors(folder), artifacts.load_item_directions(folder))


def cap_threads(num_threads: int) -> None:
    """Cap BLAS in this process: several scoring processes share the machine's cores."""
    threadpool_limits(num_threads)


def _utc(at: dt.datetime) -> dt.datetime:
    return at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at
