"""Mapping files: what they accept, and the one line they refuse the rest with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from recsys_spark.errors import SettingsError
from recsys_spark.sources.mapping import MAPPINGS, active_days, load_mapping


def a_feed(**changes: Any) -> dict[str, Any]:
    feed = {
        "table": "interactions",
        "files": "events.csv",
        "delivery": "increment",
        "fields": ["user", "item", "at"],
        "read": ["user", "item", "at"],
        "columns": {
            "user_id": "user",
            "item_id": "item",
            "event_type": {"constant": "view"},
            "event_at": "at",
        },
        "event_types": {"view": {"weight": 1.0}},
        "time": "epoch_seconds",
        "row_key": ["user_id", "item_id", "event_at"],
    }
    return {key: value for key, value in (feed | changes).items() if value is not None}


def refused(tmp_path: Path, feed: dict[str, Any]) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"feeds": [feed]}), encoding="utf-8")
    with pytest.raises(SettingsError) as error:
        load_mapping(str(path))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", sorted(path.stem for path in MAPPINGS.glob("*.yaml")))
def test_every_shipped_mapping_loads_by_its_name(name):
    assert load_mapping(name).feeds


def test_an_unknown_mapping_is_refused_with_the_nearest_name():
    with pytest.raises(SettingsError, match=r"movielens_csw.*did you mean movielens_csv\?"):
        load_mapping("movielens_csw")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"delimeter": ";"}, r"feeds.0.delimeter: unknown key; did you mean delimiter\?"),
        ({"columns": {"user_idd": "user"}}, r"columns.user_idd: did you mean user_id\?"),
        ({"columns": {"user_id": "user"}}, "columns.item_id: missing"),
        ({"fields": None}, "fields: name every column"),
        ({"read": ["user", "item"]}, "columns.event_at: source column at is not in read"),
        ({"read": ["user", "item", "at", "mail"]}, "read: mail is not among the fields"),
        ({"time": None}, "time: interactions need it"),
        ({"time": "pattern"}, "time_pattern: goes with time: pattern"),
        ({"time": "pattern", "time_pattern": "yyyy-MM-dd"}, "time_zone: needed"),
        ({"row_key": ["user_id", "order"]}, "row_key: order is neither"),
        ({"row_key": ["line_count"]}, "line_count alone names no event"),
        ({"event_types": {"purchase": {"weight": 1.0}}}, "no weight for the constant view"),
        ({"event_types": {"view": {"weight": 0}}}, "event_types.view.weight: Input should be greater than 0"),
        ({"value_range": [5, 1]}, "value_range: the minimum exceeds the maximum"),
        ({"encoding": "utf-9"}, "encoding: utf-9 is unknown"),
        ({"table": "items", "columns": {"item_id": "item"}}, "belong to interactions only"),
    ],
)
def test_a_faulty_mapping_is_refused_in_one_line_that_names_the_key(tmp_path, changes, words):
    assert re.search(words, refused(tmp_path, a_feed(**changes)))


def test_a_column_source_is_exactly_one_of_column_constant_sql(tmp_path):
    columns = a_feed()["columns"] | {"value": {"constant": "1", "sql": "1"}}
    assert "exactly one of" in refused(tmp_path, a_feed(columns=columns))


def test_text_that_is_no_yaml_is_refused(tmp_path):
    (tmp_path / "broken.yaml").write_text("feeds: [", encoding="utf-8")
    with pytest.raises(SettingsError, match="broken.yaml: not YAML"):
        load_mapping(str(tmp_path / "broken.yaml"))


def test_a_mapping_overrides_active_days_only_when_it_says_so():
    assert active_days(load_mapping("movielens_csv"), 90) == "all"
    assert active_days(load_mapping("online_retail"), 90) == 90


def test_a_typed_header_names_its_columns_without_the_types():
    feed = load_mapping("recbole").feeds[0]
    assert feed.names == ("user_id", "item_id", "rating", "timestamp")
