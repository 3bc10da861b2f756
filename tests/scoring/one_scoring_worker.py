"""Rank one Arrow batch and write its lists as a Spark worker does; prints the peak of this process in bytes.

Run by test_plan.py as a process of its own, with one argument: the sizes as JSON.
"""

from __future__ import annotations

import datetime as dt
import json
import pickle
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyspark.worker  # noqa: F401  what every worker has imported

from recsys_spark import tables
from recsys_spark.forms.vectors import Vectors
from recsys_spark.lake.parquet import arrow_schema
from recsys_spark.lake.storage import store_at
from recsys_spark.lake.worker_files import Place, write_partition
from recsys_spark.scoring import lists, loaded_models
from recsys_spark.scoring.catalogue import catalogue
from recsys_spark.scoring.loaded_models import LoadedModel
from recsys_spark.scoring.ranker import ranker
from recsys_spark.scoring.rules import NO_RULES, ListSettings, Rerank, Rules

DAY = dt.date(2024, 5, 31)


def write_inputs(
    folder: Path, vocabulary: int, dim: int, length: int, seen: list[int], rules: Rules = NO_RULES
) -> None:
    """Item vectors, a catalogue, and a batch whose users have seen so many items each."""
    rng, item_idx = np.random.default_rng(1), np.arange(2, vocabulary)
    np.save(folder / "vectors.npy", rng.normal(size=(vocabulary, dim)).astype(np.float32))
    texts = pa.nulls(len(item_idx), pa.list_(pa.string()))
    features = {
        "item_idx": item_idx,
        "item_id": pa.array([f"item-{i:011}" for i in item_idx]),
        "is_available": np.ones(len(item_idx), bool),
        "categories": pa.ListArray.from_arrays(
            pa.array(np.arange(len(item_idx) + 1, dtype=np.int32)),
            pa.array([f"kind {i % 50}" for i in item_idx]),
        ),
        "seller": pa.nulls(len(item_idx), pa.string()),
        "segments": texts,
        "min_age": pa.nulls(len(item_idx), pa.int32()),
        "num_events": np.ones(len(item_idx), np.int64),
    }
    counts = {"segment": [""] * len(item_idx), "item_idx": item_idx, "popularity": 1.0 / item_idx}
    (folder / "catalogue").write_bytes(pickle.dumps(catalogue(pa.table(features), pa.table(counts), rules)))
    num = len(seen)
    ints = _lists(rng.integers(2, vocabulary, (num, length)).astype(np.int32))
    floats = _lists(np.ones((num, length), np.float32))
    starts = np.concatenate([[0], np.cumsum(seen)]).astype(np.int32)
    seen_items = np.concatenate([np.sort(rng.choice(item_idx, n, replace=False)) for n in seen])
    columns = {
        "user_idx": pa.array(np.arange(num, dtype=np.int32)),
        "user_id": pa.array([f"user-{n}" for n in range(num)]),
        "segment": pa.array([""] * num),
        "age": pa.nulls(num, pa.int32()),
        "is_control": pa.array(np.zeros(num, bool)),
        "items": ints, "types": ints, "values": floats, "gaps": ints, "weights": floats,
        "seen": pa.ListArray.from_arrays(pa.array(starts), pa.array(seen_items.astype(np.int32))),
        "blocked": pa.nulls(num, pa.list_(pa.int32())),
        "shown": pa.nulls(num, pa.list_(pa.int32())),
    }  # fmt: skip
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    with pa.ipc.new_stream(str(folder / "users"), batch.schema) as stream:
        stream.write_batch(batch)


def _lists(values: np.ndarray) -> pa.ListArray:
    starts = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(starts), pa.array(values.reshape(-1)))


def main(folder: Path, num_items: int, pool_items: int, batch_users: int, num_trained: int) -> None:
    loaded_models.cap_threads(1)
    items = pickle.loads((folder / "catalogue").read_bytes())
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")

    def encode(histories: dict[str, np.ndarray]) -> np.ndarray:
        return (
            np.random.default_rng(2)
            .normal(size=(len(histories["items"]), vectors.shape[1]))
            .astype(np.float32)
        )

    is_trained = (np.arange(len(vectors)) >= 2) & (np.arange(len(vectors)) < 2 + num_trained)
    model = LoadedModel("given", "v1", Vectors(encode, vectors, vectors, is_trained))  # nobody has few events
    how = Rerank("diversity", 0.3, pool_items) if pool_items > num_items else Rerank()
    made = ranker(items, model, ListSettings(num_items, batch_users, 1, rerank=how))

    def rank(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, batch_users):
                ranked = made.lists(batch.slice(start, batch_users))
                yield lists.rows(ranked, pa.nulls(len(ranked), pa.int64()), lists.Lot("night", DAY))

    place = Place(store_at(str(folder)), "lists", arrow_schema(tables.LISTS), ("cut",), "attempt", DAY)
    with (folder / "users").open("rb") as file:
        list(write_partition(place, rank, pa.ipc.open_stream(file)))
    status = Path("/proc/self/status").read_text().splitlines()
    [peak] = [line.split()[1] for line in status if line.startswith("VmHWM")]
    assert "tensorflow" not in sys.modules  # this encoder does without
    print(int(peak) * 1024 - vectors.nbytes)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    main(Path(given.pop("folder")), **given)
