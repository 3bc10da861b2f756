"""What a night's training reads, as plain values; importing this starts no TensorFlow."""

from __future__ import annotations

import datetime as dt
import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys_spark.forms.item_tower import Columns
from recsys_spark.scoring.columns import feature_rows
from recsys_spark.tables import DataFile
from recsys_spark.training.columns import ColumnType
from recsys_spark.training.files import named, open_parquet

ROLES = {"twin": "valid", "published": "night"}  # by role, the cut that it learns; the twin first

DTYPES = {"items": "int32", "types": "int32", "values": "float32", "gaps": "int32", "weights": "float32"}

Keep = Callable[[str, Path], None]  # stores a folder under a version


class Lesson(NamedTuple):
    """What one role of a recommender learns from: all of one cut.

    Attributes:
        examples: files of the recommender's table of examples; none where it learns from `items` alone.
        frame: the same rows for what Spark fits; None for the others.
        items: ITEM_FEATURES.
        item_columns: of the items' features, from FEATURE_COLUMNS.
        data_end: every event is before this instant.
    """

    examples: Sequence[DataFile]
    frame: Any
    items: pa.Table
    item_columns: Columns
    data_end: dt.datetime


class ValidationFiles(NamedTuple):
    """What is chosen on: cut valid.

    Attributes:
        truth: TRUTH.
        histories, seen: files of HISTORIES and SEEN_ITEMS.
        bags: files of BAGS; none where nothing reads them.
    """

    truth: pa.Table
    histories: Sequence[DataFile]
    seen: Sequence[DataFile]
    bags: Sequence[DataFile] = ()


class Earlier(NamedTuple):
    """What a warm start chooses from.

    Attributes:
        models: MODELS up to the run date.
        run_date: of tonight: only models of earlier nights count.
        item_ids: (item_idx, item_id) of the index, at least those of the models.
        get: gives the local folder of a version.
    """

    models: pa.Table
    run_date: dt.date
    item_ids: Sequence[tuple[int, str]]
    get: Callable[[str], Path]


class Common(NamedTuple):
    """What the trainings of a night have in common; all of it can be pickled.

    Attributes:
        valid: what is chosen on; None where nothing is.
        earlier: what networks start from; None: random weights.
        item_index: rows of ITEM_INDEX.
        keep: takes a folder under its version.
        get: gives the local folder of a version.
    """

    settings: Settings
    valid: ValidationFiles | None
    earlier: Earlier | None
    item_index: pa.Table
    keep: Keep
    get: Callable[[str], Path]


class Settings(NamedTuple):
    """What is true of the training of all recommenders: section `train`, and what the tables were built with.

    Attributes:
        min_valid_users: with fewer, nothing is chosen on them.
        work_dir: where a night's checkpoints lie, the same folder for all workers.
        log_dir: where TensorBoard looks; None: nothing is written.
    """

    history_length: int
    num_types: int
    repeats_allowed: bool
    max_valid_users: int
    min_valid_users: int
    window_row_groups: int
    seed: int
    num_threads: int
    checkpoint_steps: int
    work_dir: Path
    log_dir: Path | None


def what_lacks(
    of_names: Mapping[str, Mapping[str, Lesson]], valid: ValidationFiles | None, min_train_users: int
) -> str | None:
    """Why there is too little to train on, or None.

    Each role of a recommender that learns from examples needs `min_train_users` users with one, and where something is
    chosen on validation, somebody to choose on.

    Args:
        of_names: by recommender and role.
        valid: None when nothing is chosen on validation.
    """
    for name, of_roles in of_names.items():
        for role, lesson in of_roles.items():
            num_users = _num_users(lesson.examples)
            if lesson.examples and num_users < min_train_users:
                return f"{name}_{role}_users={num_users} min_train_users={min_train_users}"
    return None if valid is None or valid.truth.num_rows else "valid_users=0"


def work_dir(folder: str | None, lake_root: str, run_date: dt.date) -> Path:
    """Where checkpoints lie: a folder for this lake and date, the same one when the night is tried again.

    Args:
        folder: train.work_dir; None: the system's temporary one.
    """
    lake = hashlib.sha256(lake_root.encode()).hexdigest()[:12]
    return Path(folder or tempfile.gettempdir()) / "recsys-spark" / lake / str(run_date)


def columns(length: int, *, mask: bool) -> dict[str, ColumnType]:
    """The list columns that a network reads, of this length."""
    dtypes = {**DTYPES, "mask": "int32"} if mask else DTYPES
    return {name: ColumnType(dtype, length) for name, dtype in dtypes.items()}


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
    of_items = feature_rows(rows["features"], len(names))
    features = np.zeros((len(counts), len(names)), np.float32)
    features[place] = of_items
    return counts, features


def digest(*arrays: npt.NDArray[Any]) -> str:
    """sha256 of the arrays' bytes, one after the other."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def _num_users(files: Sequence[DataFile]) -> int:
    """Users with an example: of windows each has exactly one that is its newest, of other examples one row."""
    total = 0
    for file in files:
        with named(file.uri), open_parquet(file.uri) as opened:
            if "window" in opened.schema_arrow.names:
                windows = opened.read(["window"])["window"]
                total += int(pc.sum(pc.equal(windows, 0)).as_py() or 0)
            else:
                total += opened.metadata.num_rows
    return total
