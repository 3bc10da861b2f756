"""What a night's training reads, as plain values; importing this starts no TensorFlow."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys_spark.models.item_tower import Columns
from recsys_spark.scoring.columns import feature_rows
from recsys_spark.tables import DataFile
from recsys_spark.training.columns import ColumnType
from recsys_spark.training.files import named, open_parquet

Keep = Callable[[str, Path], None]  # stores a folder under a version

DTYPES = {"items": "int32", "types": "int32", "values": "float32", "gaps": "int32", "weights": "float32"}


class Data(NamedTuple):
    """What one model learns from: all of one cut."""

    sequences: Sequence[DataFile]  # SEQUENCE_EXAMPLES
    items: pa.Table  # ITEM_FEATURES
    item_columns: Columns  # of the items' features, from FEATURE_COLUMNS
    data_end: dt.datetime  # every event is before this instant


class ValidationData(NamedTuple):
    """What the twin's epochs are chosen on: cut valid."""

    truth: pa.Table  # TRUTH
    histories: Sequence[DataFile]  # HISTORIES
    seen: Sequence[DataFile]  # SEEN_ITEMS


class Earlier(NamedTuple):
    """What a warm start chooses from."""

    models: pa.Table  # MODELS up to the run date
    run_date: dt.date  # of tonight: only models of earlier nights are chosen
    get: Callable[[str], Path]  # the local folder of a version


class Place(NamedTuple):
    """Where a night's checkpoints lie, and TensorBoard's logs if any; the same for all workers."""

    work_dir: Path
    log_dir: Path | None


class Settings(NamedTuple):
    """Section `train` of the settings, and what the tables were built with."""

    history_length: int
    num_types: int
    repeats_allowed: bool
    embedding_dim: int
    num_blocks: int
    num_heads: int
    dropout: float
    optimizer: str
    learning_rate: float
    batch_size: int
    window_row_groups: int
    epochs: int
    patience: int
    num_negatives: int
    negatives: str
    crop_share: float
    mask_share: float
    reorder_share: float
    max_valid_users: int
    min_valid_users: int  # with fewer, every one of `epochs` is trained
    seed: int
    num_threads: int
    mixed_precision: bool
    checkpoint_steps: int


def columns(settings: Settings, more: int, *, mask: bool) -> dict[str, ColumnType]:
    """The list columns that the network reads, `history_length` + `more` elements each."""
    dtypes = {**DTYPES, "mask": "int32"} if mask else DTYPES
    return {name: ColumnType(dtype, settings.history_length + more) for name, dtype in dtypes.items()}


def what_lacks(twin: Data, published: Data, valid: ValidationData | None, min_train_users: int) -> str | None:
    """Why there is too little to train on, or None.

    Both models need `min_train_users` users with a window, and the twin someone to be judged on.

    Args:
        valid: None when nothing is chosen on validation.
    """
    for role, data in (("twin", twin), ("published", published)):
        num_users = _num_users(data.sequences)
        if num_users < min_train_users:
            return f"{role}_users={num_users} min_train_users={min_train_users}"
    return None if valid is None or valid.truth.num_rows else "valid_users=0"


def num_events(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Events [V] by item number, from rows of ITEM_FEATURES; V ends with the last item that had one.

    Items first seen later have greater numbers: left out, they cannot change the shapes of the twin.
    """
    used = rows.filter(pc.greater(rows["num_events"], 0))
    place = used["item_idx"].to_numpy()
    counts = np.zeros(int(place.max(initial=1)) + 1, np.int64)
    counts[place] = used["num_events"].to_numpy()
    return counts


def items_of(rows: pa.Table, names: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Events [V], as `num_events` gives them, and features [V, F] by item number.

    Args:
        names: of the F features.

    Raises:
        BadDataError: an item has another number of features than there are names, or one is not finite.
    """
    counts = num_events(rows)
    rows = rows.filter(pc.less(rows["item_idx"], len(counts))).combine_chunks()
    place = rows["item_idx"].to_numpy()
    given = feature_rows(rows["features"], len(names))
    features = np.zeros((len(counts), len(names)), np.float32)
    features[place] = given
    return counts, features


def digest(*arrays: npt.NDArray[Any]) -> str:
    """sha256 of the arrays' bytes, one after the other."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def _num_users(files: Sequence[DataFile]) -> int:
    """Users with a training window: each has exactly one that is its newest."""
    total = 0
    for file in files:
        with named(file.uri), open_parquet(file.uri) as opened:
            windows = opened.read(["window"])["window"]
        total += int(pc.sum(pc.equal(windows, 0)).as_py() or 0)
    return total
