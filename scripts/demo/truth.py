"""Hold the model's lists against the rule that made the demo's data."""

from __future__ import annotations

import datetime as dt
from typing import Any

import planted

from recsys_spark import tables
from recsys_spark.lake import Lake


def recall_beside_the_rule(root: str, run_date: dt.date) -> tuple[float, float, int]:
    """Mean recall@10 of the model's and of the planted rule's lists on the test window, and its users."""
    lake = Lake(root)
    names = {row["item_idx"]: row["item_id"] for row in lake.read_rows(tables.ITEM_INDEX).to_pylist()}
    last, seen, lists = {}, {}, {}
    for row in lake.read_rows(tables.HISTORIES, run_date, cut="test").to_pylist():
        last[row["user_idx"]] = names[row["items"][-1]]
    for row in lake.read_rows(tables.SEEN_ITEMS, run_date, cut="test").to_pylist():
        seen[row["user_idx"]] = [names[item] for item in row["items"]]
    for row in lake.read_rows(tables.LISTS, run_date, cut="test").to_pylist():
        if row["recommender"] != "popularity":
            lists[row["user_idx"]] = [names[item] for item in row["items"][:10]]
    ours, rule = [], []
    for row in lake.read_rows(tables.TRUTH, run_date, cut="test").to_pylist():
        user, wanted = row["user_idx"], {names[item] for item in row["items"]}
        best = planted.successors(last[user], seen[user], 10)
        ours.append(len(wanted.intersection(lists.get(user, ()))) / len(wanted))
        rule.append(len(wanted.intersection(best)) / len(wanted))
    return sum(ours) / len(ours), sum(rule) / len(rule), len(ours)


def ndcg(root: str, run_date: dt.date) -> dict[str, Any]:
    """NDCG@10 of the model and of popularity, and their paired difference with its interval."""
    rows = Lake(root).read_rows(tables.METRICS, run_date).to_pylist()
    named = {row["recommender"]: row for row in rows if (row["metric"], row["k"]) == ("ndcg", 10)}
    (difference,) = [row for name, row in named.items() if name.endswith(" - popularity")]
    model = named[difference["recommender"].removesuffix(" - popularity")]
    return {
        "ndcg": round(model["value"], 4),
        "popularity": round(named["popularity"]["value"], 4),
        "difference": f"{difference['value']:.4f} ({difference['ci_low']:.4f} to {difference['ci_high']:.4f})",
        "users": model["num_users"],
    }
