"""The metrics of one recommender on the same Parquet files by lazy polars queries; no code shared with ours.

Places are summed by user and band of ranks (1..10, 11..20, ...), so each of them is looked at once for all k.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def measure(
    lists: Sequence[str], truth: Sequence[str], items: Sequence[str], num_users: int, ks: Sequence[int]
) -> dict[str, float]:
    """Mean over the judged users of each `{metric}_{k}`, and `coverage_{k}`."""
    columns = ["item_idx", "categories", "is_available", "num_users", "popularity"]
    features = pl.scan_parquet(items).select(columns).collect()
    facts, sums = _facts(features, num_users)
    judged = pl.scan_parquet(truth).select("user_idx", "items", num_truth=pl.col("items").list.len())
    listed = (
        pl.scan_parquet(lists)
        .select("user_idx", item_idx="items", rank=pl.int_ranges(1, pl.col("items").list.len() + 1))
        .explode("item_idx", "rank")
        .filter(pl.col("rank") <= max(ks))
    )
    bands = (
        listed.join(facts.lazy(), "item_idx", how="left")
        .group_by("user_idx", band=pl.sum_horizontal((pl.col("rank") > k).cast(pl.UInt8) for k in ks))
        .agg(pl.len().alias("length"), *[pl.col(name).sum() for name in sums])
    )
    hits = (
        listed.join(judged.select("user_idx", item_idx="items").explode("item_idx"), ["user_idx", "item_idx"])
        .sort("user_idx", "rank")
        .with_columns(number=pl.int_range(pl.len()).over("user_idx") + 1)
        .group_by("user_idx")
        .agg(*[one for k in ks for one in _of_hits(k)])
    )
    first = listed.group_by("item_idx").agg(pl.col("rank").min())
    covered = first.select(*[(pl.col("rank") <= k).sum().alias(f"coverage_{k}") for k in ks])
    by_band, by_hits, users, coverage = pl.collect_all(
        [bands, hits, judged.select("user_idx", "num_truth"), covered], engine="streaming"
    )
    per_user = users.join(by_hits, "user_idx", how="left").fill_null(0)
    means = [one.mean() for k in ks for one in _accuracy(k, features.height)]
    found = per_user.select(*means).row(0, named=True)
    for place, k in enumerate(ks):
        upto = by_band.lazy().filter(pl.col("band").le(place))
        totals = upto.group_by("user_idx").agg(pl.exclude("band").sum())
        wrong = pl.col("length").sum().alias("wrong") / users.height
        row = totals.select(*_likeness(sums, k, users.height), wrong).collect().row(0, named=True)
        found[f"accuracy_{k}"] -= row.pop("wrong") / features.height
        found |= row
    eligible = features.filter("is_available", pl.col("popularity") > 0).height
    return {**found, **{name: value / eligible for name, value in coverage.row(0, named=True).items()}}


def _facts(features: pl.DataFrame, num_users: int) -> tuple[pl.DataFrame, list[str]]:
    """Of each item: bits, popular, has a category, and its indicator of each category at length 1."""
    used = features["popularity"].filter(features["popularity"] > 0).sort(descending=True)
    names = features["categories"].explode().unique().drop_nulls().sort()
    size = pl.col("categories").list.len()
    facts = features.select(
        "item_idx",
        bits=(num_users / pl.col("num_users").clip(1)).log(2),
        popular=(pl.col("popularity") >= used[(len(used) - 1) // 10]).cast(pl.Float64),
        described=(size > 0).cast(pl.Float64),
        **{name: pl.col("categories").list.contains(name) / size.sqrt() for name in names},
    )
    return facts, facts.columns[1:]


def _of_hits(k: int) -> list[pl.Expr]:
    rank = pl.col("rank").filter(pl.col("rank") <= k)
    number = pl.col("number").filter(pl.col("rank") <= k)
    return [
        rank.len().cast(pl.Float64).alias(f"hits_{k}"),
        (1 / (rank + 1).log(2)).sum().alias(f"gain_{k}"),
        (number / rank).sum().alias(f"precisions_{k}"),
        (1 / rank.min()).alias(f"mrr_{k}"),
    ]


def _accuracy(k: int, num_catalogue: int) -> list[pl.Expr]:
    hits, truth = pl.col(f"hits_{k}"), pl.col("num_truth")
    ideal = (1 / (pl.int_range(1, k + 1, eager=True) + 1).log(2)).cum_sum()
    values = {
        "ndcg": pl.col(f"gain_{k}") / pl.lit(ideal).gather(pl.min_horizontal(truth, k) - 1),
        "recall": hits / truth,
        "precision": hits / k,
        "map": pl.col(f"precisions_{k}") / truth,
        "mrr": pl.col(f"mrr_{k}"),
        "hit_rate": (hits > 0).cast(pl.Float64),
        "f1": 2 * hits / (truth + k),
        "accuracy": 1 - (truth - 2 * hits) / num_catalogue,  # what is listed comes off later
    }
    return [value.alias(f"{name}_{k}") for name, value in values.items()]


def _likeness(sums: Sequence[str], k: int, num_users: int) -> list[pl.Expr]:
    length = pl.col("length")
    cosines = (pl.sum_horizontal(pl.col(name).pow(2) for name in sums[3:]) - pl.col("described")) / 2
    pairs = length * (length - 1) / 2
    values = {
        "novelty": pl.col("bits") / length,
        "popularity_share": pl.col("popular") / length,
        "diversity": pl.when(pairs > 0).then(1 - cosines / pairs).otherwise(0),
    }
    return [(value.sum() / num_users).alias(f"{name}_{k}") for name, value in values.items()]


def num_rows(lists: Sequence[str]) -> int:
    """Recommended rows in the files."""
    return int(pl.scan_parquet(lists).select(pl.col("items").list.len().sum()).collect().item())
