"""A shop of two groups of items, whose users stay in one of them; the most popular item is the second group's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_spark.forms.item_tower import Columns
from recsys_spark.scoring.catalogue import Catalogue, catalogue
from recsys_spark.scoring.rules import NO_RULES, Rules
from recsys_spark.tables import DataFile

V, LENGTH = 21, 6  # items numbered below V; events of a history
GROUP, OTHER, NEVER_TRAINED, POPULAR = range(2, 11), (11, *range(13, 21)), 12, 11
NUM_TRAINED = len(GROUP) + len(OTHER)
FEATURES = Columns(["price", "year"], [0.0, 0.0], [1.0, 1.0])
INTS, FLOATS = pa.list_(pa.int32()), pa.list_(pa.float32())
NAMES = ("items", "types", "values", "gaps", "weights")


def _behaviour() -> list[list[int]]:
    rng = np.random.default_rng(5)
    users = [rng.permutation(GROUP)[: rng.integers(4, LENGTH + 2)].tolist() for _ in range(100)]
    others = [rng.permutation(OTHER[1:])[: rng.integers(3, LENGTH + 1)].tolist() for _ in range(160)]
    return users + [[POPULAR, *items] for items in others]


BEHAVIOUR = _behaviour()  # items of each user of the past, the oldest first
COUNTS = np.bincount(np.concatenate(BEHAVIOUR), minlength=V).astype(np.int64)


class Examples(NamedTuple):
    """Files of both tables that recommenders learn from."""

    sequence_examples: DataFile
    bags: DataFile


def write_examples(folder: Path, fault: float | None = None) -> Examples:
    """A window and a bag of each user of the past.

    Args:
        fault: a weight in the first row of both; None: all are 1.
    """
    columns = _padded(BEHAVIOUR, LENGTH + 1)
    columns["mask"] = (columns["items"] > 0) & (np.cumsum(columns["items"] > 0, axis=1) > 1)
    bag_weights = [[1.0] * len(items) for items in BEHAVIOUR]
    if fault is not None:
        columns["weights"][0, -1] = bag_weights[0][0] = fault
    windows = {name: pa.array(list(_cast(values)), _type(values)) for name, values in columns.items()}
    bags = {
        "user_idx": pa.array(range(2, 2 + len(BEHAVIOUR)), pa.int32()),
        "items": pa.array([sorted(items) for items in BEHAVIOUR], INTS),
        "weights": pa.array(bag_weights, FLOATS),
    }
    return Examples(
        _write(folder / "part-0-windows.parquet", windows), _write(folder / "part-0-bags.parquet", bags)
    )


def item_features() -> pa.Table:
    """ITEM_FEATURES, as far as training reads them."""
    return pa.table(
        {
            "item_idx": pa.array(range(2, V), pa.int32()),
            "num_events": pa.array(COUNTS[2:]),
            "features": pa.array([[0.0, 0.1 * (item % 3)] for item in range(2, V)], FLOATS),
        }
    )


def shop(rules: Rules = NO_RULES, unavailable: int = 0, only_fr: int = 0, boosted: int = 0) -> Catalogue:
    """The catalogue; these items are not available, are for segment FR alone, are of the category `boosted`."""
    item_idx = range(2, V)
    features = pa.table(
        {
            "item_idx": pa.array(item_idx, pa.int32()),
            "item_id": [f"i{item}" for item in item_idx],
            "is_available": [item != unavailable for item in item_idx],
            "categories": pa.array(
                [["boosted"] if item == boosted else [] for item in item_idx], pa.list_(pa.string())
            ),
            "seller": pa.nulls(V - 2, pa.string()),
            "segments": pa.array(
                [["FR"] if item == only_fr else None for item in item_idx], pa.list_(pa.string())
            ),
            "min_age": pa.nulls(V - 2, pa.int32()),
            "num_events": pa.array(COUNTS[2:]),
        }
    )
    used = np.flatnonzero(COUNTS)
    counts = {
        "segment": [""] * len(used),
        "item_idx": pa.array(used.astype(np.int32)),
        "popularity": COUNTS[used].astype(np.float64),
    }
    return catalogue(features, pa.table(counts), rules)


def users(
    histories: Sequence[Sequence[int]], length: int = LENGTH, left_out: Any = None, segment: str = ""
) -> pa.RecordBatch:
    """A batch as `user_rows.with_history` gives it, an event a day.

    Args:
        histories: the oldest item first; 1 is unknown, and no part of the bag.
        length: histories are padded to it.
        left_out: of each user, what may not be listed.
    """
    num = len(histories)
    bags = [sorted(set(items) - {1}) for items in histories]
    lists = {
        name: pa.array(list(_cast(values)), _type(values))
        for name, values in _padded(histories, length).items()
    }
    columns = {
        "user_idx": pa.array(range(2, 2 + num), pa.int32()),
        "user_id": pa.array([f"u{n}" for n in range(num)]),
        "segment": pa.array([segment] * num),
        "age": pa.nulls(num, pa.int32()),
        "is_control": pa.array([False] * num),
        **lists,
        "seen": pa.array([list(items) for items in left_out] if left_out else [None] * num, INTS),
        "blocked": pa.nulls(num, INTS),
        "shown": pa.nulls(num, INTS),
        "bag_items": pa.array(bags, INTS),
        "bag_weights": pa.array(
            [[float(list(items).count(i)) for i in bag] for items, bag in zip(histories, bags, strict=True)],
            FLOATS,
        ),
    }  # fmt: skip
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _padded(behaviour: Sequence[Sequence[int]], length: int) -> dict[str, np.ndarray]:
    items = np.array([[0] * (length - len(row)) + list(row) for row in behaviour])
    is_event = items > 0
    is_later = is_event & (np.cumsum(is_event, axis=1) > 1)
    return {
        "items": items,
        "types": is_event,
        "values": is_event * 3.0,
        "gaps": is_later * 86_400,
        "weights": is_event * 1.0,
    }


def _cast(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32 if values.dtype.kind == "f" else np.int32)


def _type(values: np.ndarray) -> pa.DataType:
    return FLOATS if values.dtype.kind == "f" else INTS


def _write(path: Path, columns: dict[str, pa.Array]) -> DataFile:
    table = pa.table(columns)
    pq.write_table(table, path)
    return DataFile(path.as_uri(), (table.num_rows,))
