"""A rule of the settings that lists do not keep, or that nobody recounts, fails here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import recsys_spark
from recsys_spark.config import RuleSettings

PACKAGE = Path(recsys_spark.__file__).parent
RECOUNTED_IN = ("jobs/check.py", "evaluation/checks")
APPLIED_IN = ("jobs/recommend.py", "jobs/build_features.py", "scoring", "transforms")
NOT_RECOUNTED = (
    ("boosts", "they move scores alone, and that lists go by score is counted"),
    ("seed", "of the draw of new items: every draw keeps the rules"),
    ("blocking_events", "they are the table blocked_items by then, which is counted against"),
)


def read_in(where: tuple[str, ...], fields: set[str]) -> set[str]:
    """The fields that this code reads off something called `rules`."""
    files = [file for name in where for file in (PACKAGE / name).rglob("*.py")]
    files += [PACKAGE / name for name in where if name.endswith(".py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    return {node.attr for node in attributes if ast.unparse(node.value).split(".")[-1] == "rules"} & fields


@pytest.fixture(scope="module")
def fields() -> set[str]:
    return set(RuleSettings.model_fields)


def test_every_rule_of_the_settings_is_kept(fields: set[str]) -> None:
    assert read_in(APPLIED_IN, fields) == fields


def test_every_rule_of_the_settings_is_recounted_or_said_why_not(fields: set[str]) -> None:
    exempt = {name for name, _ in NOT_RECOUNTED}
    assert exempt <= fields
    assert read_in(RECOUNTED_IN, fields) == fields - exempt


def test_a_rule_that_nothing_reads_is_found(fields: set[str]) -> None:
    assert read_in(RECOUNTED_IN, {*fields, "max_per_brand"}) != {*fields, "max_per_brand"}
    assert "boosts" not in read_in(RECOUNTED_IN, fields)
