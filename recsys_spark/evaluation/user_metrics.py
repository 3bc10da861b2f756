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

from recsys_spark.evaluation.item_facts import ItemFacts, numbered
from recsys_spark.python_tasks import through_python
from recsys_spark.ranking.metric_table import JudgedLists, Metric
from recsys_spark.ranking.metrics import hits_of

UNITS = 10**12  # a value counts in whole units: sums of integers do not depend on partitions, of doubles do

_BATCH_USERS = 512  # arrays of a hundred ranks each then stay near the processor


def names(metrics: Sequence[Metric], ks: Sequence[int]) -> list[str]:
    """`{metric}_{k}` of every metric of users and k, in the order of `user_metrics`."""
    return [f"{metric.name}_{k}" for k in ks for metric in metrics if metric.of_users]


def sums(judged: DataFrame, facts: ItemFacts, ks: Sequence[int], metrics: Sequence[Metric]) -> DataFrame:
    """What the means and the coverage are made of, in one pass over the lists: rows of two kinds.

    Of users, one a recommender and block: `num_users`, and `{metric}_{k}` in units; `k` is null.
    Of items, 64 a row: the bits of `marks` say which of a `chunk` stand in the first k of any list; `block` is null.

    Args:
        judged: as `evaluation.judged` makes it, with `block`, a number.
        facts: of the cut that was listed; an item beyond it has no category and no user.
        ks: list lengths.
    """
    shared = judged.sparkSession.sparkContext.broadcast(facts)
    named = ["num_users", *names(metrics, ks)]

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        listed: dict[str, _Listed] = {}
        for batch in batches:
            truth, items = (numbered(batch[name], shared.value) for name in ("truth", "listed"))
            key = [batch["recommender"], batch["block"]]
            rows = pa.RecordBatch.from_arrays(
                [*key, truth, items], ["recommender", "block", "truth", "listed"]
            )
            yield from _summed(rows, shared.value, ks, metrics)
            recommenders = rows["recommender"].dictionary_encode()
            for code, name in enumerate(recommenders.dictionary.to_pylist()):
                of_name = items.filter(pc.equal(recommenders.indices, code))
                listed.setdefault(name, _Listed(len(shared.value.bits), ks)).add(of_name)
        for name, marks in listed.items():
            yield from marks.rows(name, named)

    first = F.slice("listed", 1, max(ks)).alias("listed")
    rows = judged.select("recommender", "block", "truth", first)
    numbers = ", ".join(f"{name} long" for name in ("block", *named))
    parts = through_python(rows, work, f"recommender string, {numbers}, k int, chunk int, marks long")
    totals = [F.sum(name).alias(name) for name in named]
    return parts.groupBy("recommender", "block", "k", "chunk").agg(*totals, F.bit_or("marks").alias("marks"))


def user_metrics(
    truth: pa.ListArray, listed: pa.ListArray, facts: ItemFacts, ks: Sequence[int], metrics: Sequence[Metric]
) -> Iterator[NDArray[np.float64]]:
    """The values [U] of U users for each of `names(metrics, ks)`.

    Args:
        truth: item_idx that happened, at least one a user.
        listed: item_idx by rank, at most max(ks) a user.
        facts: see `sums`.
        ks: list lengths.
    """
    num_truth, num_listed = (np.asarray(items.value_lengths()) for items in (truth, listed))
    item_idx = np.zeros((len(listed), max(ks)), np.int64)  # one width: sums of other widths have other bits
    item_idx[np.arange(max(ks)) < num_listed[:, None]] = listed.flatten()
    lists = JudgedLists(
        item_idx=np.where(item_idx < len(facts.bits), item_idx, 1),
        hits=hits_of(item_idx, truth.flatten().to_numpy(), num_truth),
        num_truth=num_truth,
        num_listed=num_listed,
        num_items=facts.num_items,
        bits=facts.bits,
        is_popular=facts.is_popular,
        categories=facts.categories,
    )
    for k in ks:
        for metric in metrics:
            if metric.of_users:
                yield metric.of_users(lists, k)


def _summed(
    batch: pa.RecordBatch, facts: ItemFacts, ks: Sequence[int], metrics: Sequence[Metric]
) -> Iterator[pa.RecordBatch]:
    named = names(metrics, ks)
    units = np.empty((len(named), batch.num_rows), np.int64)
    for start in range(0, batch.num_rows, _BATCH_USERS):
        part = batch.slice(start, _BATCH_USERS)
        for number, values in enumerate(user_metrics(part["truth"], part["listed"], facts, ks, metrics)):
            units[number, start : start + len(values)] = np.rint(values * UNITS)
    key = ["recommender", "block"]
    of_users = {"num_users": np.ones(batch.num_rows, np.int64), **dict(zip(named, units, strict=True))}
    rows = pa.table({**{name: batch[name] for name in key}, **of_users})
    summed = rows.group_by(key, use_threads=False).aggregate([(name, "sum") for name in of_users])
    none = {"k": pa.int32(), "chunk": pa.int32(), "marks": pa.int64()}
    nulls = [pa.nulls(summed.num_rows, kind) for kind in none.values()]
    yield from pa.table([*summed.columns, *nulls], names=[*key, *of_users, *none]).to_batches()


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

    def rows(self, recommender: str, empty_columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """64 items a row: those of a chunk as the bits of one number."""
        for number, k in enumerate(self._ks):
            known = np.flatnonzero(self._is_listed[number])
            items = np.concatenate([known, sorted(self._unknown[number])]).astype(np.int64)
            chunk, first = np.unique(items >> 6, return_index=True)
            bits = np.left_shift(np.uint64(1), (items & 63).astype(np.uint64))
            marks = np.bitwise_or.reduceat(bits, first) if len(items) else bits
            none = pa.nulls(len(chunk), pa.int64())
            rows = {
                "recommender": pa.repeat(recommender, len(chunk)),
                **dict.fromkeys(("block", *empty_columns), none),
                "k": pa.repeat(pa.scalar(k, pa.int32()), len(chunk)),
                "chunk": pa.array(chunk.astype(np.int32)),
                "marks": pa.array(marks.view(np.int64)),
            }
            yield pa.RecordBatch.from_pydict(rows)
