import datetime as dt

import pytest

from recsys_spark.evaluation import judged
from recsys_spark.scoring.user_rows import with_control

LIVE, D = dt.date(2024, 5, 29), dt.date(2024, 5, 31)


def at(day, hour=12):
    return dt.datetime(2024, 5, day, hour)


@pytest.fixture(scope="module")
def events(spark):
    rows = [
        ("known", "old", at(10)),
        ("known", "old", at(30)),  # again after the lists: only a repeat
        ("known", "new", at(30, 0)),  # the first instant that counts
        ("known", "new", at(31)),
        ("known", "last", at(31, 23)),
        ("known", "before", at(29, 23)),
        ("unlisted", "new", at(30)),
        ("newcomer", "new", at(30)),
        ("asleep", "old", at(10)),
    ]
    return spark.createDataFrame(rows, "user_id string, item_id string, event_at timestamp")


@pytest.fixture(scope="module")
def recommendations(spark):
    rows = [("known", [("b", 2), ("a", 1)], False), ("asleep", [("a", 1)], False)]
    return spark.createDataFrame(
        rows, "user_id string, items array<struct<item_id string, rank int>>, is_control boolean"
    )


@pytest.fixture(scope="module")
def index(spark):
    rows = [(name, LIVE) for name in ("known", "unlisted", "asleep")] + [("newcomer", D)]
    return spark.createDataFrame(rows, "user_id string, run_date date")


def happened(events, index, recommendations, repeats_allowed, share=0.0):
    users = with_control(judged.known_users(index, LIVE), share)
    frame = judged.since_live(events, users, recommendations, LIVE, D, repeats_allowed)
    return {row.user: row for row in frame.collect()}


def test_only_first_events_after_the_lists_count_and_only_of_users_known_then(events, index, recommendations):
    got = happened(events, index, recommendations, False)
    assert {user: row.truth for user, row in got.items()} == {"known": ["last", "new"], "unlisted": ["new"]}


def test_repeats_count_when_they_are_allowed(events, index, recommendations):
    assert happened(events, index, recommendations, True)["known"].truth == ["last", "new", "old"]


def test_lists_come_by_rank_and_a_missing_one_is_empty(events, index, recommendations):
    got = happened(events, index, recommendations, False)
    assert {user: row.listed for user, row in got.items()} == {"known": ["a", "b"], "unlisted": []}


def test_the_group_is_that_of_the_list_and_else_of_the_hash(events, index, recommendations):
    got = happened(events, index, recommendations, False, share=1.0)
    assert {user: row.recommender for user, row in got.items()} == {
        "known": "live",
        "unlisted": "control",
    }


def test_each_judged_user_stands_once_for_each_recommender(spark):
    truth = spark.createDataFrame([(2, [7]), (3, [8])], "user_idx int, items array<int>")
    lists = spark.createDataFrame(
        [(2, "model", [7, 9]), (4, "model", [7])],
        "user_idx int, recommender string, items array<int>",
    )
    rows = judged.on_test(truth, lists, ["model", "popularity"]).collect()
    assert sorted((row.user, row.recommender, row.listed) for row in rows) == [
        (2, "model", [7, 9]),
        (2, "popularity", []),
        (3, "model", []),
        (3, "popularity", []),
    ]
