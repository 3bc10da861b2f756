"""One user for each way to break a rule: every count must be exactly that user's."""

import datetime as dt

import pytest

from recsys_spark import tables
from recsys_spark.errors import RuleBrokenError
from recsys_spark.evaluation import rules
from recsys_spark.evaluation.offered import Limits

FILLED_BY = tables.LISTS.schema["filled_by"].dataType.simpleString()

D = dt.date(2024, 5, 31)
IDS = {2: "a", 3: "b", 4: "c", 5: "gone"}


def places(*items, scores=(3.0, 2.0, 1.0), filled_by=None):
    return list(items), list(scores[: len(items)]), filled_by or [("m", len(items))]


GOOD = [
    (2, places(2, 3), None),
    (3, places(3, 2, scores=(1.0, 1.0)), None),  # equal scores are in order
    (4, places(4), "too_few_candidates"),  # has seen the rest
    (5, places(), "too_few_candidates"),
]
BROKEN = {
    "duplicate_item": [(10, places(2, 2), None)],
    "uneven_columns": [(11, places(2, 3, filled_by=[("m", 1)]), None)],
    "rising_score": [(12, places(2, 3, scores=(1.0, 1.5)), None)],
    "bad_score": [(13, places(2, 3, scores=(1.0, None)), None)],
    "short_without_reason": [(14, places(2), None)],
    "short_without_cause": [(15, places(2), "too_few_candidates")],
    "full_with_reason": [(16, places(2, 3), "too_few_candidates")],
    "list_too_long": [(17, places(2, 3, 4), None)],
    "list_of_inactive_user": [(18, places(2, 3), None)],
    "duplicate_user": [(19, places(2, 3), None), (19, places(2, 3), None)],
    "unavailable_item": [(20, places(5, 2), None)],
    "unknown_item": [(21, places(2, 99), None)],
    "seen_item": [(22, places(2, 3), None)],
    "list_missing": [(23, (None, None, None), None)],
    "active_user_without_list": [],
}
SEEN = {4: [2, 3, 5], 5: [2, 3, 4], 14: [3, 4], 22: [3, 4, 9]}
ACTIVE = [*range(2, 6), *range(10, 18), *range(19, 25)]  # 18 is not active, 24 has no list


def counted(spark, rows, active, reasons=None):
    schema = (
        "user_idx int, user_id string, items array<int>, scores array<double>, "
        f"filled_by {FILLED_BY}, because array<int>, because_scores array<double>, reason string"
    )
    lists = spark.createDataFrame(
        [(u, f"u{u}", *places, *(reasons or {}).get(u, (None, None)), reason) for u, places, reason in rows],
        schema,
    )
    users = spark.createDataFrame(
        [(u, f"u{u}", "", None, u in active) for u in range(2, 30)],
        "user_idx int, user_id string, segment string, age int, is_active boolean",
    )
    items = spark.createDataFrame(
        [
            (i, name, name not in ("gone",), float(name != "unused"), [], None, [], None, 9)
            for i, name in [*IDS.items(), (6, "unused")]
        ],
        "item_idx int, item_id string, is_available boolean, popularity double, categories array<string>, "
        "seller string, segments array<string>, min_age int, num_events long",
    )
    seen = spark.createDataFrame(
        [(u, s) for u, s in SEEN.items() if u in active], "user_idx int, items array<int>"
    )
    return rules.broken_rules(lists, users, items, {"seen_item": seen}, 2, Limits())


@pytest.fixture(scope="module")
def counts(spark):
    rows = GOOD + [row for broken in BROKEN.values() for row in broken]
    return {row["rule"]: row["num_broken"] for row in counted(spark, rows, ACTIVE).collect()}


def test_every_rule_is_counted(counts):
    of_settings = {"ineligible_item", "blocked_item", "too_many_of_category", "too_many_of_seller",
                   "too_many_new_items", "too_few_new_items", "old_new_item"}  # fmt: skip
    assert set(counts) == set(BROKEN) | of_settings


@pytest.mark.parametrize("rule", BROKEN)
def test_the_broken_rule_is_counted_once(counts, rule):
    assert counts[rule] == 1


def test_each_place_has_as_many_reasons(spark):
    even = [([], []), ([2, 3], [1.0] * 2), ([2, 3, 4, 0], [1.0] * 4)]
    uneven = [([2, 3, 4], [1.0] * 3), ([2, 3], [1.0]), ([2, 3], [])]
    reasons = dict(enumerate(even + uneven, 10))
    rows = [(user, places(2, 3), None) for user in reasons]
    found = {row["rule"]: row["num_broken"] for row in counted(spark, rows, [*reasons], reasons).collect()}
    assert found["uneven_columns"] == len(uneven)


def test_lists_that_keep_the_rules_pass(spark):
    rules.refuse_broken(counted(spark, GOOD, [2, 3, 4, 5]), D)


def test_a_broken_rule_fails_the_run_by_name_and_count(spark):
    frame = spark.createDataFrame(
        [("seen_item", 2), ("bad_score", 0), ("uneven_columns", 1)], "rule string, num_broken long"
    )
    with pytest.raises(
        RuleBrokenError, match="2024-05-31, cut night: seen_item 2, uneven_columns 1; nothing"
    ):
        rules.refuse_broken(frame, D)
