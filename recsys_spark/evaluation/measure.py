"""From judged lists to rows of METRICS: exact means, confidence intervals, paired differences."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from recsys_spark.evaluation import bootstrap
from recsys_spark.evaluation.item_facts import ItemFacts
from recsys_spark.evaluation.user_metrics import UNITS, names, sums
from recsys_spark.ranking import metric_table
from recsys_spark.ranking.metric_table import Metric

log = logging.getLogger(__name__)


class Settings(NamedTuple):
    """What is measured.

    Attributes:
        ks: list lengths.
        min_users: fewer users are too few to judge.
        num_samples: of the bootstrap, as is the seed.
    """

    ks: Sequence[int]
    min_users: int
    num_samples: int
    seed: int
    metrics: Sequence[Metric] = metric_table.ALL


def measure(
    judged: DataFrame,
    num_users: int | None,
    facts: ItemFacts,
    recommenders: Sequence[str],
    split: str,
    settings: Settings,
) -> list[dict[str, Any]]:
    """Rows of METRICS (run_date left out) for each recommender, and for each minus every later one.

    Args:
        judged: as `evaluation.judged` makes it.
        num_users: different users in it, or no fewer if below `bootstrap.MAX_BLOCKS`; None: they are counted.
        facts: of the cut whose items were listed.
        recommenders: in order, what the others are compared with last.
    """
    rows = _sums(judged, num_users, facts, settings)
    of_users = rows.filter(pc.is_null(rows["k"])).to_pylist()
    num_listed = _num_listed(rows.filter(pc.is_valid(rows["k"])))
    blocks = sorted({row["block"] for row in of_users})
    drawn = bootstrap.resamples(len(blocks), settings.num_samples, settings.seed)
    measured = {
        name: _of_users([row for row in of_users if row["recommender"] == name], settings, blocks, drawn)
        for name in recommenders
    }
    for name, figures in measured.items():
        for k in settings.ks:
            for metric in settings.metrics:
                if metric.of_all:
                    of_all = metric.of_all(num_listed.get((name, k), 0), facts.num_eligible)
                    figures.values[f"{metric.name}_{k}"] = of_all
    for first, second in combinations(recommenders, 2):
        measured[f"{first} - {second}"] = measured[first].minus(measured[second])
    for name, figures in measured.items():
        if figures.num_users < settings.min_users:
            log.info(
                "too_few_users_to_judge split=%s recommender=%s users=%d needed=%d",
                split, name.replace(" ", ""), figures.num_users, settings.min_users,
            )  # fmt: skip
    return [row for name, figures in measured.items() for row in figures.rows(split, name, settings)]


def _sums(judged: DataFrame, num_users: int | None, facts: ItemFacts, settings: Settings) -> pa.Table:
    if num_users is not None:
        with_block = judged.withColumn("block", bootstrap.block("user", num_users))
        return sums(with_block, facts, settings.ks, settings.metrics).toArrow()
    kept = judged.persist()
    try:
        return _sums(kept, kept.select("user").distinct().count(), facts, settings)
    finally:
        kept.unpersist()


def _num_listed(items: pa.Table) -> dict[tuple[str, int], int]:
    """How many different items each recommender lists in the first k of any list."""
    num = np.bitwise_count(items["marks"].to_numpy().view(np.uint64)).astype(np.int64)
    counted = items.select(["recommender", "k"]).append_column("num", pa.array(num))
    totals = counted.group_by(["recommender", "k"]).aggregate([("num", "sum")]).to_pylist()
    return {(row["recommender"], row["k"]): row["num_sum"] for row in totals}


class _Figures(NamedTuple):
    """One recommender: users, mean by `{metric}_{k}` (None without users), and the resampled means."""

    num_users: int
    values: dict[str, float | None]
    samples: dict[str, NDArray[np.float64]]

    def minus(self, other: _Figures) -> _Figures:
        both = {name: (value, other.values[name]) for name, value in self.values.items()}
        values = {name: None if a is None or b is None else a - b for name, (a, b) in both.items()}
        samples = {name: values - other.samples[name] for name, values in self.samples.items()}
        return _Figures(min(self.num_users, other.num_users), values, samples)

    def rows(self, split: str, recommender: str, settings: Settings) -> list[dict[str, Any]]:
        out = []
        for k in settings.ks:
            for metric in settings.metrics:
                name = f"{metric.name}_{k}"
                low, high = bootstrap.interval(self.samples.get(name, np.array([])))
                out.append(
                    {
                        "split": split,
                        "recommender": recommender,
                        "metric": metric.name,
                        "k": k,
                        "value": self.values[name],
                        "ci_low": low,
                        "ci_high": high,
                        "num_users": self.num_users,
                        "is_judged": self.num_users >= settings.min_users,
                    }
                )
        return out


def _of_users(
    rows: list[dict[str, Any]], settings: Settings, blocks: list[int], drawn: NDArray[np.float64]
) -> _Figures:
    named = names(settings.metrics, settings.ks)
    row_of = {block: number for number, block in enumerate(blocks)}
    counts, totals = np.zeros(len(blocks)), np.zeros((len(blocks), len(named)))
    for row in rows:
        counts[row_of[row["block"]]] = row["num_users"]
        totals[row_of[row["block"]]] = [row[name] / UNITS for name in named]
    num_users = int(counts.sum())
    exact = {name: sum(row[name] for row in rows) for name in named}
    values = {name: exact[name] / (num_users * UNITS) if num_users else None for name in named}
    resampled = bootstrap.means(drawn, totals, counts)
    return _Figures(num_users, values, {name: resampled[:, n] for n, name in enumerate(named)})
