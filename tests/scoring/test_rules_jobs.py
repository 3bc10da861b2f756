"""Every rule of the settings, through recommend and check, on the small lake of test_list_jobs."""

import datetime as dt

import pytest
from test_list_jobs import ITEMS, USERS, D, full, job, lake_of

from recsys_spark import config as settings
from recsys_spark import tables
from recsys_spark.errors import RuleBrokenError
from recsys_spark.lake import Lake

SHOWN = {6: "i8", 7: "i5"}  # by user, what stood in the list of the night before
RULES = {
    "blocked_items": "[i11]",
    "blocked_categories": "[c0]",
    "boosts": "{c2: 1000000}",  # of items 2, 5, 8 and 11; the model's own scores go by item number
    "max_per_seller": "1",
    "max_nights": "1",
    "of_nights": "1",
    "num_new_items": "1",
    "new_item_events": "3",
}


@pytest.fixture(scope="module")
def root(spark, tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    lake = lake_of(spark, root, tmp_path_factory.mktemp("model"))
    for day, listed in (
        (1, SHOWN),
        (2, dict.fromkeys(USERS, "i10")),
    ):  # the second: longer ago than of_nights
        rows = [
            full(tables.RECOMMENDATIONS, user_id=f"u{user}", recommender="popularity", is_control=False,
                 run_date=D - dt.timedelta(days=day),
                 items=[{"item_id": item, "rank": 1, "score": 1.0, "source": "popularity", "because": []
                         }])
            for user, item in listed.items()
        ]  # fmt: skip
        lake.write_rows(tables.RECOMMENDATIONS, D - dt.timedelta(days=day), rows)
    return root


def config(root, rules, **changes):
    chosen = {"recommend.num_items": 4, "recommend.num_similar": 2, "recommend.control_share": 0.0, **changes}
    chosen |= {"lake.root": root} | {f"rules.{name}": value for name, value in rules.items()}
    return settings.load(options=[f"{name}={value}" for name, value in chosen.items()])


def recommended(spark, root, rules, **changes):
    """The item ids of each user's list."""
    lake = Lake(str(root))
    job("recommend")(spark, lake, config(root, rules, **changes), D)
    rows = lake.read_rows(tables.LISTS, D, cut="night").to_pylist()
    return {row["user_idx"]: [f"i{item}" for item in row["items"]] for row in rows}


def test_recommend_keeps_every_rule_of_the_settings_and_check_counts_it(root, spark):
    lists = recommended(spark, root, RULES)
    # Eligible: 2, 4, 5, 7, 8 and 10. Boosted, those of c2 come first; a new one is last; 2 and 3, 4 and 5, ... share
    # a seller.
    first = {
        4: {"i8"},
        5: {"i8"},
        6: {"i5"},
        7: set(),
        8: {"i5"},
        9: {"i5", "i8"},
        10: {"i5", "i8"},
        11: {"i5", "i8"},
    }
    rest = {4: ["i10", "i7"], 5: ["i10", "i4", "i7"], 6: ["i10"], 7: ["i10", "i4"], 8: ["i10", "i7"], 9: ["i7"],
            10: ["i7"], 11: ["i10", "i7"]}  # fmt: skip
    for user, boosted in first.items():
        num = len(boosted)
        assert set(lists[user][:num]) == boosted
        assert set(lists[user][num:-1]) <= set(rest[user])
        assert len(lists[user]) == min(num + len(rest[user]), 3) + 1
    assert {items[-1] for items in lists.values()} == {"i2"}  # 3 is of a blocked category
    job("check")(spark, Lake(str(root)), config(root, RULES), D)


def test_check_finds_what_lists_made_without_rules_break(root, spark):
    long, quota = {"recommend.num_items": 8}, {"num_new_items": 1, "new_item_events": 3}
    recommended(spark, root, quota, **long)
    rules = RULES | dict.fromkeys(quota, 0)
    with pytest.raises(RuleBrokenError) as raised:
        job("check")(spark, Lake(str(root)), config(root, rules, **long), D)
    for broken in (
        "blocked_item",
        "too_many_of_seller",
        "item_shown_often",
        "too_many_new_items",
        "old_new_item",
    ):
        assert broken in str(raised.value)


def test_lists_calibrated_by_the_job_differ_and_are_judged_with_and_without(root, spark):
    plain = recommended(spark, root, {})
    how = {"rerank.by": "calibration", "rerank.trade_off": 0.99, "rerank.pool_items": 12}
    mixed = recommended(spark, root, {}, **how)
    assert mixed != plain
    judged = {
        row["recommender"] for row in Lake(str(root)).read_rows(tables.LISTS, D, cut="test").to_pylist()
    }
    assert judged == {"popularity", "self_attention", "self_attention_before_calibration"}
    categories = {f"i{i}": i % 3 for i in ITEMS}
    histories = {u: {u % 3, (u + 1) % 3} for u in USERS if u > 3}
    both = [
        sum(categories[item] in histories[user] for user in histories for item in lists[user])
        for lists in (plain, mixed)
    ]
    assert both[1] > both[0]
