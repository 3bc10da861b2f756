"""Every metric of every judged user: the NumPy definitions of `recsys_spark.ranking`, called by Spark.

A user's values are made from that user's row alone and summed as whole numbers, so no partitioning can change them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark.evaluation.catalogue import Catalogue
from recsys_spark.python_tasks import through_python
from recsys_spark.ranking import beyond_accuracy, metrics

METRICS = (
    "ndcg",
    "recall",
    "precision",
    "map",
    "mrr",
    "hit_rate",
    "f1",
    "accuracy",
    "novelty",
    "diversity",
    "popularity_share",
)
UNITS = 10**12  # a value counts in whole units: sums of integers do not depend on partitions, of doubles do

_BATCH_USERS = 512  # arrays of a hundred places each then stay near the processor


def names(ks: Sequence[int]) -> list[str]:
    """`{metric}_{k}` of every metric and k, in the order of `user_metrics`."""
    return [f"{metric}_{k}" for k in ks for metric in METRICS]


def sums_and_items(judged: DataFrame, catalogue: Catalogue, ks: Sequence[int]) -> DataFrame:
    """What the means and the coverage are made of, in one pass over the lists: rows of two kinds.

    Sums, one or more a recommender and block: `recommender`, `block`, `num_users`, and `{metric}_{k}` in units.
    Items: `recommender`, `k`, `item` for what stands in the first k of any list, once a partition; `block` is null.

    Args:
        judged: as `evaluation.judged` makes it, items by item_idx, with `block`, a number.
        catalogue: of the cut that was listed; an item beyond it has no category and no user.
        ks: list lengths.
    """
    shared = judged.sparkSession.sparkContext.broadcast(catalogue)
    numbers = ", ".join(f"{name} long" for name in ("block", "num_users", *names(ks)))

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        listed: dict[str, _Listed] = {}
        for batch in batches:
            yield from _summed(batch, shared.value, ks)
            recommenders = batch["recommender"].dictionary_encode()
            for code, name in enumerate(recommenders.dictionary.to_pylist()):
                of_name = batch["listed"].filter(pc.equal(recommenders.indices, code))
                listed.setdefault(name, _Listed(len(shared.value.bits), ks)).add(of_name)
        for name, items in listed.items():
            yield from items.rows(name)

    first = F.slice("listed", 1, max(ks)).alias("listed")
    rows = judged.select("recommender", "block", "truth", first)
    return through_python(rows, work, f"recommender string, {numbers}, k int, item int")


def user_metrics(
    truth: pa.ListArray, listed: pa.ListArray, catalogue: Catalogue, ks: Sequence[int]
) -> Iterator[NDArray[np.float64]]:
    """The values [U] of U users for each of `names(ks)`.

    Args:
        truth: item_idx that happened, at least one a user.
        listed: item_idx by rank, at most max(ks) a user.
        catalogue: see `sums_and_items`.
        ks: list lengths.
    """
    num_truth, num_listed = (np.asarray(items.value_lengths()) for items in (truth, listed))
    item_idx = np.zeros((len(listed), max(ks)), np.int64)  # one width: sums of other widths have other bits
    item_idx[np.arange(max(ks)) < num_listed[:, None]] = listed.flatten()
    hits = metrics.hits_of(item_idx, truth.flatten().to_numpy(), num_truth)
    known = np.where(item_idx < len(catalogue.bits), item_idx, 1)
    for k in ks:
        yield metrics.ndcg_at_k(hits, num_truth, k)
        yield metrics.recall_at_k(hits, num_truth, k)
        yield metrics.precision_at_k(hits, num_truth, k)
        yield metrics.map_at_k(hits, num_truth, k)
        yield metrics.mrr_at_k(hits, num_truth, k)
        yield metrics.hit_rate_at_k(hits, num_truth, k)
        yield metrics.f1_at_k(hits, num_truth, k)
        yield metrics.accuracy_at_k(hits, num_truth, k, num_listed, max(catalogue.num_items, 1))
        yield beyond_accuracy.novelty_at_k(known, k, catalogue.bits)
        yield beyond_accuracy.diversity_at_k(known, k, catalogue.categories)
        yield beyond_accuracy.popularity_share_at_k(known, k, catalogue.is_popular)


def _summed(batch: pa.RecordBatch, catalogue: Catalogue, ks: Sequence[int]) -> Iterator[pa.RecordBatch]:
    units = np.empty((len(names(ks)), batch.num_rows), np.int64)
    for start in range(0, batch.num_rows, _BATCH_USERS):
        part = batch.slice(start, _BATCH_USERS)
        for number, values in enumerate(user_metrics(part["truth"], part["listed"], catalogue, ks)):
            units[number, start : start + len(values)] = np.rint(values * UNITS)
    key = ["recommender", "block"]
    of_users = {"num_users": np.ones(batch.num_rows, np.int64), **dict(zip(names(ks), units, strict=True))}
    rows = pa.table({**{name: batch[name] for name in key}, **of_users})
    summed = rows.group_by(key, use_threads=False).aggregate([(name, "sum") for name in of_users])
    none = pa.nulls(summed.num_rows, pa.int32())
    columns = [*summed.columns, none, none]
    yield from pa.table(columns, names=[*key, *of_users, "k", "item"]).to_batches()


class _Listed:
    """The items of one recommender's lists: V marks a k, which stay small however many the lists."""

    def __init__(self, num_items: int, ks: Sequence[int]) -> None:
        self._ks = ks
        self._is_listed = np.zeros((len(ks), num_items), np.bool_)
        self._unknown: list[set[int]] = [set() for _ in ks]

    def add(self, listed: pa.ListArray) -> None:
        for number, k in enumerate(self._ks):
            items = pc.list_slice(listed, 0, k).flatten().to_numpy()
            is_known = items < self._is_listed.shape[1]
            self._is_listed[number, items[is_known]] = True
            self._unknown[number].update(items[~is_known].tolist())

    def rows(self, recommender: str) -> Iterator[pa.RecordBatch]:
        for number, k in enumerate(self._ks):
            known = np.flatnonzero(self._is_listed[number])
            items = np.concatenate([known, sorted(self._unknown[number])]).astype(np.int32)
            none = pa.nulls(len(items), pa.int64())
            columns = {
                "recommender": pa.repeat(recommender, len(items)),
                **dict.fromkeys(("block", "num_users", *names(self._ks)), none),
                "k": pa.repeat(pa.scalar(k, pa.int32()), len(items)),
                "item": pa.array(items),
            }
            yield pa.RecordBatch.from_pydict(columns)
