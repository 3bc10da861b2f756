"""What a person asks of the lake, as plain rows; small Arrow tables in, no Spark."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsys_spark.errors import MissingInputError


def live_list(recommendations: pa.Table, item_features: pa.Table, user_id: str) -> list[dict[str, Any]]:
    """`rank`, `item_id`, `title`, `score`, `source`, `because` of a user's list, by rank; titles where there are.

    Args:
        recommendations: the live run date of RECOMMENDATIONS.
        item_features: cut night of ITEM_FEATURES, for titles.

    Raises:
        MissingInputError: the user has no list.
    """
    rows = recommendations.filter(pc.field("user_id") == user_id).to_pylist()
    if not rows:
        raise MissingInputError(
            "table recommendations: no list for this user; only active users have one, visitors get the "
            "default list of their segment"
        )
    titles = _by(item_features, "item_id", "title")
    listed = sorted(rows[0]["items"], key=lambda item: item["rank"])
    return [
        {
            "rank": item["rank"],
            "item_id": item["item_id"],
            "title": titles.get(item["item_id"]),
            "score": item["score"],
            "source": item["source"],
            "because": ", ".join(
                dict.fromkeys(titles.get(one["item_id"]) or one["item_id"] for one in item["because"])
            )
            or None,
        }
        for item in listed
    ]


def recent_history(
    histories: pa.Table, user_features: pa.Table, item_features: pa.Table, user_id: str, num_items: int
) -> list[dict[str, Any]]:
    """`item_id`, `title`, `value` of a user's last events, the newest first; none when there is no history.

    Args:
        histories, user_features, item_features: cut night of one run date.
        num_items: at most this many.
    """
    numbers = user_features.filter(pc.field("user_id") == user_id)["user_idx"].to_pylist()
    rows = histories.filter(pc.field("user_idx") == numbers[0]).to_pylist() if numbers else []
    if not rows:
        return []
    ids, titles = _by(item_features, "item_idx", "item_id"), _by(item_features, "item_idx", "title")
    events = [pair for pair in zip(rows[0]["items"], rows[0]["values"], strict=True) if pair[0] > 0]
    return [
        {
            "item_id": ids.get(item_idx),
            "title": titles.get(item_idx),
            "value": None if value is None or value != value else value,
        }
        for item_idx, value in events[::-1][:num_items]
    ]


def last_metrics(
    metrics: pa.Table, num_nights: int, metric_names: Sequence[str], k: int
) -> list[dict[str, Any]]:
    """One row a night, split and recommender, the newest night first: its figures by metric name.

    `about` says "too few users to judge" where that is so, else the number of users.
    """
    nights = sorted(set(metrics["run_date"].to_pylist()), reverse=True)[:num_nights]
    rows: dict[tuple[dt.date, str, str], dict[str, Any]] = {}
    for row in metrics.filter(pc.field("k") == k).to_pylist():
        if row["run_date"] not in nights or row["metric"] not in metric_names:
            continue
        key = (row["run_date"], row["split"], row["recommender"])
        about = f"{row['num_users']} users" + ("" if row["is_judged"] else ": too few users to judge")
        figures = rows.setdefault(key, dict(zip(("run_date", "split", "recommender"), key, strict=True)))
        figures[row["metric"]] = row["value"]
        figures[f"{row['metric']}_ci"] = (row["ci_low"], row["ci_high"])
        figures["about"] = about
    return [rows[key] for key in sorted(rows, key=lambda key: (-key[0].toordinal(), key[1], key[2]))]


def last_trainings(models: pa.Table, num_trainings: int) -> list[dict[str, Any]]:
    """One row a twin, the newest first: where it started, and what that saved. Counted models have no start.

    `steps` are those to the NDCG of the last cold start: its own, and with a warm start tonight's.
    """
    twins = [row for row in models.to_pylist() if row["role"] == "twin"]
    newest = sorted(twins, key=lambda row: row["run_date"], reverse=True)[:num_trainings]
    return [_training(row, json.loads(row["manifest"])) for row in newest]


def _training(model: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    """A row for people: the manifest holds what its recommender wrote, and nothing is certain to be there."""
    cold, warm, log = (manifest.get(name) for name in ("cold_start", "warm_start", "log"))
    steps = f"cold {cold['steps']}" if cold else None
    if cold and warm:
        steps = f"{steps}, warm {'not reached' if warm.get('steps') is None else warm['steps']}"
    return {
        "run_date": model["run_date"],
        "recommender": model["name"],
        "start": f"model of {warm['from_run_date']}" if warm else "random weights" if log else None,
        "epochs": manifest.get("epochs"),
        "validation ndcg": max((entry["ndcg"] for entry in log or () if "ndcg" in entry), default=None),
        "steps": steps,
    }


def _by(table: pa.Table, key: str, value: str) -> dict[Any, Any]:
    return dict(zip(table[key].to_pylist(), table[value].to_pylist(), strict=True))
