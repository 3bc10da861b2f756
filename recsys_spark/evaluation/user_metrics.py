"""The metrics of `recsys_spark.ranking` as Spark columns, for millions of users; equal to 1e-9.

Everything is computed within one user's row, in rank order, so no partitioning can change it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

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


def item_facts(item_features: DataFrame, item: str, popular_from: float) -> DataFrame:
    """What metrics need to know of an item, keyed by its column `item` (item_idx | item_id)."""
    return item_features.select(
        F.col(item).alias("item"),
        "categories",
        "num_users",
        (F.col("popularity") >= F.lit(popular_from)).alias("is_popular"),
    )


def user_metrics(
    judged: DataFrame, facts: DataFrame, ks: Sequence[int], num_catalogue: int, num_users: int
) -> DataFrame:
    """`user`, `recommender` and a column `{metric}_{k}` for every metric and k.

    Args:
        judged: as `evaluation.judged` makes it.
        facts: as `item_facts` makes it; a listed item without facts has no category and no user.
        num_catalogue: items known, for accuracy.
        num_users: users known, for novelty.
    """
    hit = F.array_contains("truth", F.col("item"))
    places = F.struct(
        "rank",
        "hit",
        F.coalesce("categories", F.array().cast("array<string>")).alias("categories"),
        F.coalesce("num_users", F.lit(0)).cast("long").alias("num_users"),
        F.coalesce("is_popular", F.lit(False)).alias("is_popular"),
    )
    per_user = (
        judged.select("user", "recommender", "truth", F.posexplode_outer("listed").alias("place", "item"))
        .select(
            "user",
            "recommender",
            "item",
            F.size("truth").alias("num_truth"),
            (F.col("place") + 1).alias("rank"),
            hit.alias("hit"),
        )
        .join(facts, "item", how="left")
        .groupBy("user", "recommender")
        .agg(
            F.max("num_truth").alias("num_truth"),
            F.array_sort(F.collect_list(F.when(F.col("rank").isNotNull(), places))).alias("places"),
        )
    )
    columns = [column for k in ks for column in _columns(k, num_catalogue, num_users)]
    return per_user.select("user", "recommender", *columns)


def _columns(k: int, num_catalogue: int, num_users: int) -> list[Column]:
    top = F.slice("places", 1, k)
    hit_ranks = F.transform(F.filter(top, lambda place: place["hit"]), lambda place: place["rank"])
    hits, num_truth = F.size(hit_ranks), F.col("num_truth")
    ideal = list(accumulate(1.0 / math.log2(rank + 1) for rank in range(1, k + 1)))
    ideal_dcg = F.element_at(F.array(*[F.lit(value) for value in ideal]), F.least(num_truth, F.lit(k)))
    wrong = F.size(top) + num_truth - 2 * hits
    values = {
        "ndcg": _sum(F.transform(hit_ranks, lambda rank: 1.0 / F.log2(rank + 1))) / ideal_dcg,
        "recall": hits / num_truth,
        "precision": hits / F.lit(k),
        "map": _sum(F.transform(hit_ranks, lambda rank, place: (place + 1) / rank)) / num_truth,
        "mrr": F.coalesce(1.0 / F.get(hit_ranks, F.lit(0)), F.lit(0.0)),
        "hit_rate": (hits > 0).cast("double"),
        "f1": 2 * hits / (num_truth + F.lit(k)),
        "accuracy": 1.0 - wrong / F.lit(max(num_catalogue, 1)),
        "novelty": _mean(F.transform(top, lambda place: _bits(place, num_users))),
        "diversity": _mean(_distances(top, k)),
        "popularity_share": _mean(F.transform(top, lambda place: place["is_popular"].cast("double"))),
    }
    return [values[metric].alias(f"{metric}_{k}") for metric in METRICS]


def _bits(place: Column, num_users: int) -> Column:
    return F.log2(F.lit(float(max(num_users, 1))) / F.greatest(place["num_users"], F.lit(1)))


def _distances(top: Column, k: int) -> Column:
    def distance(a: Column, b: Column) -> Column:
        shared = F.size(F.array_intersect(a["categories"], b["categories"]))
        both = F.size(a["categories"]) * F.size(b["categories"])
        return F.when(both > 0, 1.0 - shared / F.sqrt(both)).otherwise(1.0)

    return F.flatten(
        F.transform(
            top,
            lambda a, place: F.transform(F.slice(top, place + 2, F.lit(k)), lambda b: distance(a, b)),
        )
    )


def _sum(values: Column) -> Column:
    return F.aggregate(values, F.lit(0.0), lambda total, value: total + value)


def _mean(values: Column) -> Column:
    return _sum(values) / F.greatest(F.size(values), F.lit(1))
