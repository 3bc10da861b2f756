"""How good the lists of the nights were, from their metrics."""

from __future__ import annotations

import datetime as dt
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import checks

from recsys_spark.lake import Lake


def figures(lake: Lake, days: Sequence[dt.date], train_every: int) -> dict[str, Any]:
    """The figures of the training nights, and the means of the live lists over the nights."""
    rows = {number: checks.metrics(lake, day) for number, day in enumerate(days, 1)}
    trained = [number for number in rows if number % train_every == 0]
    judged = {str(number): _of_twin(rows[number]) for number in trained}
    for number, values in judged.items():
        print(f"\n>> Night {number}, lists of the twin on the test days: {values}", flush=True)
    live: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for of_night in rows.values():
        for row in of_night:
            if row["split"] == "live" and row["value"] is not None:
                live[_name(row)].append((row["value"], row["num_users"]))
    means = {name: round(statistics.fmean(v for v, _ in values), 4) for name, values in live.items()}
    users = max((sum(num for _, num in values) for values in live.values()), default=0)
    print(
        f"\n>> Live lists on what happened next, mean of the nights ({users} users in all): {means}",
        flush=True,
    )
    return {"judged": judged, "live_mean": means, "live_users": users}


def _of_twin(rows: list[dict[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for row in rows:
        if row["split"] == "time" and row["value"] is not None:
            values[_name(row)] = round(row["value"], 4)
            values["users"], values["is_judged"] = row["num_users"], row["is_judged"]
    return values


def _name(row: dict[str, Any]) -> str:
    return f"{row['recommender']} {row['metric']}@{row['k']}"
