"""Users with skewed histories and given factors for the scoring benchmark, and ALS with the same factors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import SparkSession

from recsys_spark.scoring.catalogue import Catalogue, catalogue

DIM, LENGTH, MEAN_SEEN, MOST_SEEN = 64, 50, 90, 3500
_PART = 50_000  # users written at a time


def factors(folder: Path, name: str, rows: int, seed: int) -> Path:
    """Random float32 factors [rows, DIM] in a .npy file, which processes share as a memory map."""
    path = folder / f"{name}-{rows}.npy"
    if not path.exists():
        np.save(path, np.random.default_rng(seed).normal(size=(rows, DIM)).astype(np.float32))
    return path


def write_users(folder: Path, num_users: int, num_items: int, heaviest: int = 0) -> Path:
    """Rows as `user_rows.with_history` makes them, in four files a part; user u's number rides in its newest gap.

    Args:
        heaviest: distinct items that one more user has seen; 0: there is no such user.
    """
    path = folder / f"users-{num_users}-{num_items}-{heaviest}"
    if path.exists():
        return path
    path.mkdir()
    rng = np.random.default_rng(num_users)
    for start in range(0, num_users, _PART):
        number = np.arange(start, min(start + _PART, num_users))
        sizes = np.minimum(
            rng.lognormal(np.log(MEAN_SEEN) - 0.72, 1.2, len(number)).astype(int) + 2, MOST_SEEN
        )
        seen = [np.unique(rng.integers(2, num_items, size)) for size in sizes]
        if heaviest and not start:
            seen[len(seen) // 2] = np.sort(rng.choice(np.arange(2, num_items), heaviest, replace=False))
        table = _rows(number, seen)
        for part, rows in enumerate(np.array_split(np.arange(len(number)), 4)):
            pq.write_table(table.take(pa.array(rows)), path / f"part-{start:08}-{part}.parquet")
    return path


def _rows(number: Any, seen: list[Any]) -> pa.Table:
    history = np.zeros((len(number), LENGTH), np.int32)
    for row, items in enumerate(seen):
        newest = items[-LENGTH:]
        history[row, LENGTH - len(newest) :] = newest
    gaps = np.zeros_like(history)
    gaps[:, -1] = number
    ones = (history > 0).astype(np.float32)
    return pa.table(
        {
            "user_idx": pa.array(number + 2, pa.int32()),
            "user_id": pa.array([f"user-{n}" for n in number]),
            "segment": pa.array([""] * len(number)),
            "age": pa.nulls(len(number), pa.int32()),
            "is_control": pa.array(np.zeros(len(number), bool)),
            "items": _lists(history),
            "types": _lists((history > 0).astype(np.int32)),
            "values": _lists(ones),
            "gaps": _lists(gaps),
            "weights": _lists(ones),
            "seen": pa.array(seen, pa.list_(pa.int32())),
            "blocked": pa.nulls(len(number), pa.list_(pa.int32())),
            "shown": pa.nulls(len(number), pa.list_(pa.int32())),
            "fingerprint": pa.nulls(len(number), pa.int64()),
        }
    )


def _lists(values: Any) -> pa.ListArray:
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.reshape(-1)))


def items(num_items: int) -> Catalogue:
    """All of them available, with ids and a popularity."""
    item_idx = np.arange(2, num_items)
    features = pa.table(
        {
            "item_idx": pa.array(item_idx, pa.int32()),
            "item_id": pa.array([f"item-{i}" for i in item_idx]),
            "is_available": pa.array(np.ones(len(item_idx), bool)),
            "categories": pa.nulls(len(item_idx), pa.list_(pa.string())),
            "seller": pa.nulls(len(item_idx), pa.string()),
            "segments": pa.nulls(len(item_idx), pa.list_(pa.string())),
            "min_age": pa.nulls(len(item_idx), pa.int32()),
            "num_events": pa.array(np.ones(len(item_idx), np.int64)),
        }
    )
    counts = pa.table(
        {
            "segment": pa.array([""] * len(item_idx)),
            "item_idx": pa.array(item_idx, pa.int32()),
            "popularity": pa.array(1.0 / item_idx),
        }
    )
    return catalogue(features, counts)


def als(spark: SparkSession, folder: Path, user_factors: Path, item_factors: Path) -> ALSModel:
    """MLlib's model with these factors: a small one is fitted and saved, and its factors replaced."""
    path = folder / "als"
    tiny = spark.createDataFrame([(0, 0, 1.0), (1, 1, 1.0)], "user int, item int, rating float")
    ALS(rank=DIM, maxIter=1, regParam=0.1).fit(tiny).write().overwrite().save(str(path))
    for name, values in (("userFactors", np.load(user_factors)), ("itemFactors", np.load(item_factors))):
        rows = pa.table({"id": pa.array(np.arange(len(values)), pa.int32()), "features": _lists(values)})
        pq.write_table(rows, folder / f"{name}.parquet", row_group_size=20_000)
        frame = spark.read.parquet(str(folder / f"{name}.parquet")).repartition(4)
        frame.write.mode("overwrite").parquet(str(path / name))
    return ALSModel.load(str(path))
