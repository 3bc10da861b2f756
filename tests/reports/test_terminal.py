import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from recsys_spark import tables
from recsys_spark.errors import MissingInputError
from recsys_spark.lake import Lake
from recsys_spark.reports import terminal

ITEMS = pa.table({"item_idx": [2, 3, 4], "item_id": ["a", "b", "c"], "title": ["Alien", None, "Clue"]})
LISTS = pa.Table.from_pylist(
    [
        {
            "user_id": "007",
            "items": [
                {"item_id": "c", "rank": 2, "score": 0.5, "source": "popularity", "because": []},
                {
                    "item_id": "b",
                    "rank": 1,
                    "score": 1.5,
                    "source": "attention",
                    "because": [{"item_id": "a"}, {"item_id": "c"}, {"item_id": "a"}, {"item_id": "b"}],
                },
            ],
        }
    ]
)
USERS = pa.table({"user_idx": [2, 3], "user_id": ["007", "new"]})
HISTORIES = pa.table({"user_idx": [2], "items": [[0, 2, 4]], "values": [[0.0, float("nan"), 5.0]]})


def test_a_list_comes_by_rank_with_titles():
    assert terminal.live_list(LISTS, ITEMS, "007") == [
        {
            "rank": 1,
            "item_id": "b",
            "title": None,
            "score": 1.5,
            "source": "attention",
            "because": "Alien, Clue, b",
        },
        {"rank": 2, "item_id": "c", "title": "Clue", "score": 0.5, "source": "popularity", "because": None},
    ]


def test_a_user_without_list_is_told_so():
    with pytest.raises(MissingInputError, match="no list for this user"):
        terminal.live_list(LISTS, ITEMS, "7")


def test_history_comes_newest_first_without_padding():
    rows = terminal.recent_history(HISTORIES, USERS, ITEMS, "007", 5)
    assert rows == [
        {"item_id": "c", "title": "Clue", "value": 5.0},
        {"item_id": "a", "title": "Alien", "value": None},
    ]
    assert terminal.recent_history(HISTORIES, USERS, ITEMS, "007", 1) == rows[:1]


@pytest.mark.parametrize("user_id", ["new", "unheard of"])
def test_no_history_is_no_rows(user_id):
    assert terminal.recent_history(HISTORIES, USERS, ITEMS, user_id, 5) == []


def metric_row(day, recommender, metric, value, is_judged, k=10):
    return {
        "run_date": dt.date(2024, 5, day),
        "split": "time",
        "recommender": recommender,
        "metric": metric,
        "k": k,
        "value": value,
        "ci_low": value,
        "ci_high": value,
        "num_users": 9,
        "is_judged": is_judged,
    }


def test_metrics_of_the_last_nights_newest_first():
    table = pa.Table.from_pylist(
        [
            metric_row(1, "a", "ndcg", 0.1, True),
            metric_row(2, "a", "ndcg", 0.2, False),
            metric_row(3, "a", "ndcg", 0.3, True),
            metric_row(3, "a", "ndcg", 0.9, True, k=20),
            metric_row(3, "a", "recall", 0.4, True),
            metric_row(3, "a", "mrr", 0.5, True),
        ]
    )
    got = terminal.last_metrics(table, 2, ("ndcg", "recall"), 10)
    assert [(r["run_date"].day, r["ndcg"], r.get("recall"), r["about"]) for r in got] == [
        (3, 0.3, 0.4, "9 users"),
        (2, 0.2, None, "9 users: too few users to judge"),
    ]
    assert "mrr" not in got[0]


def model_row(day: int, name: str, facts: dict[str, object]) -> dict[str, object]:
    return {"name": name, "role": "twin", "run_date": dt.date(2024, 3, day), "manifest": json.dumps(facts)}


def test_trainings_tell_what_a_warm_start_saved() -> None:
    def row(day: int, **manifest: object) -> dict[str, object]:
        facts = {"epochs": 2, "log": [{"epoch": 1, "loss": 1.0, "ndcg": 0.3}], **manifest}
        return model_row(day, "self_attention", facts)

    cold = {"ndcg": 0.3, "steps": 40}
    warm = {"from_run_date": "2024-03-01", "steps": 12}
    models = [
        row(1, cold_start=cold),
        row(2, cold_start=cold, warm_start=warm),
        {**row(3), "role": "published"},
    ]
    found = terminal.last_trainings(pa.Table.from_pylist(models), 5)
    assert [(r["run_date"].day, r["start"], r["steps"]) for r in found] == [
        (2, "model of 2024-03-01", "cold 40, warm 12"),
        (1, "random weights", "cold 40"),
    ]


def test_the_metrics_command_shows_models_whose_manifest_knows_no_epochs(tmp_path: Path) -> None:
    lake, day = Lake(str(tmp_path / "lake")), dt.date(2024, 3, 1)
    models = [model_row(1, "counted", {"num_items": 9}), model_row(1, "bare", {})]
    lake.write_rows(tables.MODELS, day, models)
    lake.write_rows(tables.METRICS, day, [metric_row(1, "counted", "ndcg", 0.25, True)])
    program = [sys.executable, "-c", "from recsys_spark.entry import main; main()"]
    command = [*program, "metrics", "--set", f"lake.root={tmp_path}/lake"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "0.2500" in done.stdout
    trainings = done.stdout.partition("Training")[2]
    assert "counted" in trainings and "bare" in trainings
    assert "random weights" not in trainings
