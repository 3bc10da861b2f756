"""Every metric of every judged user: the NumPy definitions of `recsys_spark.ranking`, called by Spark.

A user's values are made from that user's row alone, so no partitioning can change them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, IntegerType, StructField, StructType

from recsys_spark.evaluation.catalogue import Catalogue
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

_BATCH_USERS = 512  # arrays of a hundred places each then stay near the processor


def user_metrics(judged: DataFrame, catalogue: Catalogue, ks: Sequence[int]) -> DataFrame:
    """`user`, `recommender` and a column `{metric}_{k}` for every metric and k.

    Args:
        judged: as `evaluation.judged` makes it, items by item_idx.
        catalogue: of the cut that was listed; an item beyond it has no category and no user.
        ks: list lengths.
    """
    shared = judged.sparkSession.sparkContext.broadcast(catalogue)
    names = ("user", "recommender")
    doubles = [StructField(f"{metric}_{k}", DoubleType()) for k in ks for metric in METRICS]
    schema = StructType([*[judged.schema[name] for name in names], *doubles])

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, _BATCH_USERS):
                part = batch.slice(start, _BATCH_USERS)
                values = _values(part["truth"], part["listed"], shared.value, ks)
                columns = [part[name] for name in names] + [pa.array(one) for one in values]
                yield pa.RecordBatch.from_arrays(columns, names=schema.fieldNames())

    first = F.slice("listed", 1, max(ks)).alias("listed")
    return judged.select(*names, "truth", first).mapInArrow(work, schema)


def listed_items(judged: DataFrame, num_items: int, ks: Sequence[int]) -> DataFrame:
    """`recommender`, `k`, `item`: what stands in the first k of any list; an item once a partition.

    Args:
        judged: as `user_metrics` takes it.
        num_items: V; a number beyond it counts too, and takes longer.
        ks: list lengths.
    """
    fields = [StructField("k", IntegerType()), StructField("item", IntegerType())]
    schema = StructType([judged.schema["recommender"], *fields])

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        known: dict[tuple[str, int], NDArray[np.bool_]] = {}
        unknown: dict[tuple[str, int], set[int]] = {}
        for batch in batches:
            names = batch["recommender"].dictionary_encode()
            for code, name in enumerate(names.dictionary.to_pylist()):
                of_name = batch["listed"].filter(pc.equal(names.indices, code))
                for k in ks:
                    items = pc.list_slice(of_name, 0, k).flatten().to_numpy()
                    is_known = items < num_items
                    known.setdefault((name, k), np.zeros(num_items, np.bool_))[items[is_known]] = True
                    unknown.setdefault((name, k), set()).update(items[~is_known].tolist())
        for (name, k), is_listed in known.items():
            found = np.concatenate([np.flatnonzero(is_listed), sorted(unknown[name, k])]).astype(np.int32)
            columns = [pa.array([name] * len(found), pa.string()), pa.array(np.full(len(found), k, np.int32))]
            yield pa.RecordBatch.from_arrays([*columns, pa.array(found)], names=schema.fieldNames())

    first = F.slice("listed", 1, max(ks)).alias("listed")
    return judged.select("recommender", first).mapInArrow(work, schema)


def _values(
    truth: pa.ListArray, listed: pa.ListArray, catalogue: Catalogue, ks: Sequence[int]
) -> Iterator[NDArray[np.float64]]:
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
