"""From judged lists to rows of METRICS: exact means, confidence intervals, paired differences."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark.evaluation import bootstrap
from recsys_spark.evaluation.catalogue import Catalogue
from recsys_spark.evaluation.user_metrics import METRICS, UNITS, names, sums_and_items

log = logging.getLogger(__name__)


def measure(
    judged: DataFrame,
    catalogue: Catalogue,
    recommenders: Sequence[str],
    split: str,
    ks: Sequence[int],
    min_users: int,
    num_samples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Rows of METRICS (run_date left out) for each recommender, and for each minus every later one.

    Args:
        judged: as `evaluation.judged` makes it, items by item_idx.
        catalogue: of the cut whose items were listed.
        recommenders: in order, what the others are compared with last.
        min_users: fewer users are too few to judge.
        num_samples, seed: of the bootstrap.
    """
    block = bootstrap.block("user", judged.select("user").distinct().count())
    found = sums_and_items(judged.withColumn("block", block), catalogue, ks).persist()
    try:
        sums, covered = _block_sums(found, ks), _covered(found)
    finally:
        found.unpersist()
    blocks = sorted({row["block"] for row in sums})
    drawn = bootstrap.resamples(len(blocks), num_samples, seed)
    measured = {
        name: _Measured.of([row for row in sums if row["recommender"] == name], ks, blocks, drawn)
        for name in recommenders
    }
    for name, one in measured.items():
        for k in ks:
            one.values[f"coverage_{k}"] = covered.get((name, k), 0) / max(catalogue.num_eligible, 1)
    for first, second in combinations(recommenders, 2):
        measured[f"{first} - {second}"] = measured[first].minus(measured[second])
    for name, one in measured.items():
        if one.num_users < min_users:
            log.info(
                "too_few_users_to_judge split=%s recommender=%s users=%d needed=%d",
                split, name.replace(" ", ""), one.num_users, min_users,
            )  # fmt: skip
    return [row for name, one in measured.items() for row in one.rows(split, name, ks, min_users)]


def _block_sums(found: DataFrame, ks: Sequence[int]) -> list[dict[str, Any]]:
    totals = [F.sum(name).alias(name) for name in ("num_users", *names(ks))]
    rows = found.where("block is not null").groupBy("recommender", "block").agg(*totals).collect()
    return [row.asDict() for row in rows]


def _covered(found: DataFrame) -> dict[tuple[str, int], int]:
    items = found.where("block is null").groupBy("recommender", "k")
    counted = items.agg(F.count_distinct("item").alias("num_items")).collect()
    return {(row["recommender"], row["k"]): row["num_items"] for row in counted}


@dataclass
class _Measured:
    """One recommender: users, mean by `{metric}_{k}` (None without users), and the resampled means."""

    num_users: int
    values: dict[str, float | None]
    samples: dict[str, np.ndarray]

    @staticmethod
    def of(sums: list[dict[str, Any]], ks: Sequence[int], blocks: list[int], drawn: np.ndarray) -> _Measured:
        named = names(ks)
        place = {block: number for number, block in enumerate(blocks)}
        counts, totals = np.zeros(len(blocks)), np.zeros((len(blocks), len(named)))
        for row in sums:
            counts[place[row["block"]]] = row["num_users"]
            totals[place[row["block"]]] = [row[name] / UNITS for name in named]
        num_users = int(counts.sum())
        exact = {name: sum(row[name] for row in sums) for name in named}
        values = {name: exact[name] / (num_users * UNITS) if num_users else None for name in named}
        resampled = bootstrap.means(drawn, totals, counts)
        return _Measured(num_users, values, {name: resampled[:, n] for n, name in enumerate(named)})

    def minus(self, other: _Measured) -> _Measured:
        pairs = {name: (value, other.values[name]) for name, value in self.values.items()}
        values = {name: None if a is None or b is None else a - b for name, (a, b) in pairs.items()}
        samples = {name: values - other.samples[name] for name, values in self.samples.items()}
        return _Measured(min(self.num_users, other.num_users), values, samples)

    def rows(self, split: str, recommender: str, ks: Sequence[int], min_users: int) -> list[dict[str, Any]]:
        out = []
        for k in ks:
            for metric in (*METRICS, "coverage"):
                low, high = bootstrap.interval(self.samples.get(f"{metric}_{k}", np.array([])))
                out.append(
                    {
                        "split": split,
                        "recommender": recommender,
                        "metric": metric,
                        "k": k,
                        "value": self.values[f"{metric}_{k}"],
                        "ci_low": low,
                        "ci_high": high,
                        "num_users": self.num_users,
                        "is_judged": self.num_users >= min_users,
                    }
                )
        return out
