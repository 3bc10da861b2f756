"""One user for each way to break a rule: every count must be exactly that user's."""

import datetime as dt

import pyarrow as pa
import pytest

from recsys_spark import tables
from recsys_spark.errors import RuleBrokenError
from recsys_spark.evaluation.checks import items as of_items
from recsys_spark.evaluation.checks import recount, users
from recsys_spark.lake import parquet
from recsys_spark.scoring.rules import NO_RULES

FILLED_BY = tables.LISTS.schema["filled_by"].dataType.simpleString()
D = dt.date(2024, 5, 31)
IDS = {2: "a", 3: "b", 4: "c", 5: "gone"}


def items_of_list(*items, scores=(3.0, 2.0, 1.0), filled_by=None):
    return list(items), list(scores[: len(items)]), filled_by or [("m", len(items))]


GOOD = [
    (2, items_of_list(2, 3), None),
    (3, items_of_list(3, 2, scores=(1.0, 1.0)), None),  # equal scores are in order
    (4, items_of_list(4), "too_few_candidates"),  # has seen the rest
    (5, items_of_list(), "too_few_candidates"),
]
BROKEN = {
    "duplicate_item": [(10, items_of_list(2, 2), None)],
    "uneven_columns": [(11, items_of_list(2, 3, filled_by=[("m", 1)]), None)],
    "rising_score": [(12, items_of_list(2, 3, scores=(1.0, 1.5)), None)],
    "bad_score": [(13, items_of_list(2, 3, scores=(1.0, None)), None)],
    "short_without_reason": [(14, items_of_list(2), None)],
    "short_without_cause": [(15, items_of_list(2), "too_few_candidates")],
    "full_with_reason": [(16, items_of_list(2, 3), "too_few_candidates")],
    "list_too_long": [(17, items_of_list(2, 3, 4), None)],
    "list_of_inactive_user": [(18, items_of_list(2, 3), None)],
    "duplicate_user": [(19, items_of_list(2, 3), None), (19, items_of_list(2, 3), None)],
    "unavailable_item": [(20, items_of_list(5, 2), None)],
    "unknown_item": [(21, items_of_list(2, 99), None)],
    "seen_item": [(22, items_of_list(2, 3), None)],
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
        [(u, f"u{u}", *listed, *(reasons or {}).get(u, (None, None)), reason) for u, listed, reason in rows],
        schema,
    )
    features = spark.createDataFrame(
        [(u, f"u{u}", "", None, u in active) for u in range(2, 30)],
        "user_idx int, user_id string, segment string, age int, is_active boolean",
    )
    items = pa.Table.from_pylist(
        [{"item_idx": i, "item_id": name, "is_available": name != "gone", "popularity": float(name != "unused"),
          "num_events": 9, "categories": [], "segments": []} for i, name in [*IDS.items(), (6, "unused")]],
        parquet.arrow_schema(tables.ITEM_FEATURES),
    )  # fmt: skip
    seen = spark.createDataFrame(
        [(u, s) for u, s in SEEN.items() if u in active], "user_idx int, items array<int>"
    )
    by_user = users.by_user(lists, features, {"seen_item": seen})
    return recount.broken_rules(by_user, of_items.items_of(items), ["seen_item"], 2, NO_RULES)


@pytest.fixture(scope="module")
def counts(spark):
    rows = GOOD + [row for broken in BROKEN.values() for row in broken]
    return counted(spark, rows, ACTIVE)


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
    rows = [(user, items_of_list(2, 3), None) for user in reasons]
    assert counted(spark, rows, [*reasons], reasons)["uneven_columns"] == len(uneven)


def test_lists_that_keep_the_rules_pass(spark):
    recount.refuse_broken(counted(spark, GOOD, [2, 3, 4, 5]), D)


def test_a_broken_rule_fails_the_run_by_name_and_count():
    num_broken = {"uneven_columns": 1, "seen_item": 2, "bad_score": 0}
    with pytest.raises(
        RuleBrokenError, match="2024-05-31, cut night: seen_item 2, uneven_columns 1; nothing"
    ):
        recount.refuse_broken(num_broken, D)
