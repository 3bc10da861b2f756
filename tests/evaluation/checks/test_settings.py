"""One list for each way to break a rule of settings or sources."""

import datetime as dt
from collections import Counter

import pyarrow as pa
from pyspark.sql import functions as F

from recsys_spark import tables
from recsys_spark.evaluation.checks import items as of_items
from recsys_spark.evaluation.checks import recount, users
from recsys_spark.evaluation.checks.shown_often import shown_often
from recsys_spark.lake import parquet
from recsys_spark.scoring.rules import Rules

FILLED_BY = tables.LISTS.schema["filled_by"].dataType.simpleString()

D = dt.date(2024, 5, 31)
RULES = Rules(
    blocked_items=("shut",),
    blocked_categories=("banned",),
    max_per_category=2,
    max_per_seller=1,
    num_new_items=1,
    new_item_events=3,
)
ITEMS = {  # item_idx: (item_id, categories, seller, segments, min_age, num_events)
    2: ("a", ["x"], None, [], None, 9),
    3: ("b", ["x"], None, [], None, 9),
    4: ("c", ["x", "y"], None, [], None, 9),
    5: ("d", ["y"], "s", [], None, 9),
    6: ("e", [], "s", [], None, 9),
    7: ("de only", [], None, ["at", "de"], None, 9),
    8: ("adults only", [], None, [], 18, 9),
    9: ("shut", [], None, [], None, 9),
    10: ("f", ["banned", "y"], None, [], None, 9),
    11: ("new", [], None, [], None, 3),
    12: ("newer", [], None, [], None, 0),
}
USERS = {2: ("de", 18), 3: ("fr", 17), 4: ("", None)}  # kind: (segment, age)


def listed(kind, *items, new=0):
    runs = [("m", len(items) - new), *([("new_items", new)] if new else [])]
    return kind, list(items), runs


def counted(spark, rows, rules=RULES, left_out=(), num_items=3):
    """Rules broken by lists of users 10, 11 and so on, and how often."""
    lists = spark.createDataFrame(
        [(u, f"u{u}", items, [1.0] * len(items), runs, None, None, "why" if len(items) < num_items else None)
         for u, (_, items, runs) in enumerate(rows, 10)],
        f"user_idx int, user_id string, items array<int>, scores array<double>, filled_by "
        f"{FILLED_BY}, because array<int>, because_scores array<double>, reason string",
    )  # fmt: skip
    features = spark.createDataFrame(
        [(u, f"u{u}", *USERS[kind], True) for u, (kind, *_) in enumerate(rows, 10)],
        "user_idx int, user_id string, segment string, age int, is_active boolean",
    )
    names = ("item_id", "categories", "seller", "segments", "min_age", "num_events")
    facts = [dict(zip(names, values, strict=True)) for values in ITEMS.values()]
    items = pa.Table.from_pylist(
        [
            {"item_idx": i, "is_available": True, "popularity": 1.0, **row}
            for i, row in zip(ITEMS, facts, strict=True)
        ],
        parquet.arrow_schema(tables.ITEM_FEATURES),
    )
    shown = spark.createDataFrame([(u, [i]) for u, i in left_out], "user_idx int, items array<int>")
    shown = shown.groupBy("user_idx").agg(F.flatten(F.collect_list("items")).alias("items"))
    by_user = users.by_user(lists, features, {"item_shown_often": shown})
    known = of_items.items_of(items, rules.blocked_items, rules.blocked_categories)
    num_broken = recount.broken_rules(by_user, known, ["item_shown_often"], num_items, rules)
    return {rule: num for rule, num in num_broken.items() if num}


def test_lists_that_keep_every_rule_break_none(spark):
    sound = [listed(2, 2, 3, 7), listed(3, 2, 3, 5), listed(4, 2, 5, 11, new=1), listed(2, 2, 8, 7)]
    assert counted(spark, sound) == {}


def test_each_broken_rule_is_counted_once_a_list(spark):
    broken = [
        ("ineligible_item", listed(3, 2, 3, 7)),  # of another segment
        ("ineligible_item", listed(4, 2, 3, 7)),  # of no segment
        ("ineligible_item", listed(3, 2, 3, 8)),  # a year too young
        ("ineligible_item", listed(4, 2, 3, 8)),  # of unknown age
        ("blocked_item", listed(2, 2, 3, 9)),
        ("blocked_item", listed(2, 2, 3, 10)),
        ("too_many_of_category", listed(2, 2, 3, 4)),
        ("too_many_of_seller", listed(2, 2, 5, 6)),
        ("too_many_new_items", listed(2, 2, 11, 12, new=2)),
        ("old_new_item", listed(2, 2, 11, 5, new=1)),
        ("item_shown_often", listed(4, 3, 2, 5)),
    ]
    shown_often = [(10 + len(broken) - 1, 2)]  # to the last of them
    expected = Counter(rule for rule, _ in broken)
    assert counted(spark, [rows for _, rows in broken], left_out=shown_often) == expected


def test_a_list_may_be_short_only_when_nothing_on_offer_to_the_user_is_left(spark):
    none = Rules(blocked_items=("shut",), blocked_categories=("banned",))
    everything = [listed(3, 2, 3, 4, 5, 6, 11, 12)]  # 7 and 8 are not for user 3, 9 and 10 for nobody
    assert counted(spark, everything, none, num_items=9) == {}
    assert counted(spark, [listed(3, 2, 3, 4, 5, 6, 11)], none, num_items=9) == {"short_without_cause": 1}
    assert counted(spark, [listed(3, 2, 3, 4, 5, 6, 11)], none, [(10, 12)], num_items=9) == {}


def test_under_caps_a_list_may_be_short_only_when_every_other_item_is_of_a_full_group(spark):
    full = [listed(3, 2, 3, 5, 11, 12)]  # two of x, the seller's one; 4 is of x, 6 of the seller
    rules = RULES._replace(num_new_items=0)
    assert counted(spark, full, rules, num_items=9) == {}
    assert counted(spark, [listed(3, 2, 3, 11, 12)], rules, num_items=9) == {"short_without_cause": 1}
    assert counted(spark, [listed(3, 2, 5, 11, 12)], rules, num_items=9) == {"short_without_cause": 1}


def test_a_list_may_lack_new_items_only_when_none_on_offer_to_the_user_is_left(spark):
    rules = Rules(num_new_items=2, new_item_events=3)
    rows = [listed(3, 2, 11, 12, new=2), listed(3, 2, 3, 11, new=1), listed(3, 2, 3, 4), listed(3, 2, 3, 5)]
    left_out = [(11, 12), (12, 11), (12, 12), (13, 11)]  # the last user could get 12
    assert counted(spark, rows, rules, left_out) == {"too_few_new_items": 1}
    assert counted(spark, rows[1:2], rules) == {"too_few_new_items": 1}
    assert counted(spark, rows[1:2], rules._replace(max_per_category=3)) == {}  # a cap may be why


def test_what_enough_of_the_last_nights_showed_is_shown_often(spark):
    nights = [
        ("u3", 30, "a"),
        ("u3", 28, "a"),
        ("u3", 30, "b"),
        ("u4", 30, "a"),
        ("u3", 20, "b"),
        ("u3", 31, "b"),
    ]
    recommendations = spark.createDataFrame(
        [(u, [(item,)], dt.date(2024, 5, day)) for u, day, item in nights],
        "user_id string, items array<struct<item_id string>>, run_date date",
    )
    users = spark.createDataFrame([("u3", 3), ("u4", 4)], "user_id string, user_idx int")
    items = spark.createDataFrame([("a", 2), ("b", 3)], "item_id string, item_idx int")

    def often(of_nights, max_nights):
        found = shown_often(recommendations, users, items, D, of_nights, max_nights).collect()
        return {row["user_idx"]: sorted(row["items"]) for row in found}

    assert often(7, 2) == {3: [2]}
    assert often(7, 1) == {3: [2, 3], 4: [2]}
    assert often(2, 2) == {}
    assert often(30, 2) == {3: [2, 3]}


def test_of_many_short_lists_under_caps_a_sample_is_looked_at(spark, monkeypatch):
    monkeypatch.setattr(recount.short, "SAMPLED_LISTS", 2)
    rules = RULES._replace(num_new_items=0)
    assert counted(spark, [listed(3, 2, 5)] * 5, rules, num_items=9) == {"short_without_cause": 2}
