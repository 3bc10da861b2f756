"""Whether tonight's lists may go live."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any

from pyspark.sql import DataFrame

from recsys_spark.errors import GateRefusedError
from recsys_spark.models import POPULARITY

log = logging.getLogger(__name__)


def recommenders(lists: DataFrame) -> list[str]:
    """Who filled the lists, popularity last; runs a Spark job."""
    names = {row["recommender"] for row in lists.select("recommender").distinct().collect()}
    return [*sorted(names - {POPULARITY}), POPULARITY]


def refuse_worse(
    metrics: Iterable[Mapping[str, Any]],
    filled_by: Iterable[str],
    split: str,
    metric: str,
    k: int,
    margin: float,
) -> None:
    """Let tonight's lists pass unless a model that fills them is worse than popularity.

    A split with too few users to judge refuses nothing, and popularity alone always passes.

    Args:
        metrics: rows of METRICS of the night.
        filled_by: recommenders of tonight's lists.
        split: the split that judges: time | leave_last_out.
        margin: refused when popularity's value exceeds the model's by more than this.

    Raises:
        GateRefusedError: a model is worse by more than `margin`, or was not measured.
    """
    values = {
        row["recommender"]: row
        for row in metrics
        if row["split"] == split and row["metric"] == metric and row["k"] == k
    }
    for model in sorted(set(filled_by) - {POPULARITY}):
        name = f"{metric}@{k} on split {split}"
        floor = _value(values, POPULARITY)
        if floor is not None and not values[POPULARITY]["is_judged"]:
            log.info("gate_passed model=%s why=too_few_users_to_judge", model)
            continue
        reached = _value(values, model)
        if floor is None or reached is None:
            who = model if reached is None else POPULARITY
            raise GateRefusedError(f"gate: {who} has no {name}; run evaluate and look at the model's figures")
        if floor - reached > margin:
            raise GateRefusedError(
                f"gate: {model} has {name} {reached:.6f}, popularity {floor:.6f}: worse by more than the "
                f"margin {margin:g}; last night's lists stay live"
            )
        log.info("gate_passed model=%s value=%.6f popularity=%.6f margin=%g", model, reached, floor, margin)


def _value(values: Mapping[str, Mapping[str, Any]], name: str) -> float | None:
    value = values[name]["value"] if name in values else None
    return None if value is None or math.isnan(value) else float(value)
