import datetime as dt

import pytest

from recsys_spark.scoring import user_rows
from recsys_spark.scoring.user_rows import About

INTS = "array<int>"
D = dt.date(2024, 5, 31)


@pytest.fixture(scope="module")
def frames(spark):
    """Four users, of whom 4 is not active and 5 has done nothing."""
    users = spark.createDataFrame(
        [(2, "u2", "FR", 9, True), (3, "u3", "", None, True), (4, "u4", None, 9, False), (5, "u5", None, 9, True)],
        "user_idx int, user_id string, segment string, age int, is_active boolean",
    )  # fmt: skip
    histories = spark.createDataFrame(
        [
            (2, [0, 2], [0, 1], [0.0, 1.0], [0, 0], [0.0, 1.0], 1),
            (3, [2, 3], [1, 1], [1.0, 1.0], [0, 9], [1.0, 1.0], 2),
            (4, [0, 7], [0, 1], [0.0, 1.0], [0, 0], [0.0, 1.0], 1),
        ],
        f"user_idx int, items {INTS}, types {INTS}, values array<float>, gaps {INTS}, weights array<float>, "
        "num_events int",
    )
    seen = spark.createDataFrame([(2, [2]), (3, [2, 3]), (4, [7])], f"user_idx int, items {INTS}")
    return users, histories, seen


def rows(frame):
    return {row.user_id: row.asDict() for row in frame.collect()}


def test_active_users_get_a_row_with_what_they_did_and_null_for_what_they_did_not(frames):
    users, histories, seen = frames
    active = user_rows.with_control(user_rows.only_active(users), 0.0)
    blocked = seen.where("user_idx = 3")
    full = rows(user_rows.with_history(active, About(histories, seen, blocked, blocked.limit(0))))
    assert set(full) == {"u2", "u3", "u5"}
    assert full["u3"] == {
        "user_idx": 3, "user_id": "u3", "segment": "", "age": None, "is_control": False, "items": [2, 3],
        "types": [1, 1], "values": [1.0, 1.0], "gaps": [0, 9], "weights": [1.0, 1.0], "seen": [2, 3],
        "blocked": [2, 3], "shown": None, "fingerprint": None,
    }  # fmt: skip
    assert (full["u2"]["segment"], full["u2"]["seen"], full["u2"]["blocked"]) == ("FR", [2], None)
    assert full["u5"]["segment"] == ""
    assert [full["u5"][name] for name in ("items", "gaps", "seen", "blocked", "shown")] == [None] * 5


def test_where_nothing_is_known_of_what_users_may_not_get_nothing_is_left_out(frames):
    users, histories, _ = frames
    full = user_rows.with_history(user_rows.with_control(users, 0.0), About(histories, None, None))
    assert {row[name] for row in rows(full).values() for name in user_rows.LEFT_OUT} == {None}


def test_bags_are_added_where_a_model_reads_them(frames, spark):
    users, histories, seen = frames
    bags = spark.createDataFrame(
        [(3, [2, 9], [1.0, 2.5])], f"user_idx int, items {INTS}, weights array<float>"
    )
    controlled = user_rows.with_control(users, 0.0)
    full = rows(user_rows.with_history(controlled, About(histories, seen, None, bags=bags)))
    assert (full["u3"]["bag_items"], full["u3"]["bag_weights"]) == ([2, 9], [1.0, 2.5])
    assert (full["u3"]["items"], full["u3"]["weights"]) == ([2, 3], [1.0, 1.0])
    assert (full["u2"]["bag_items"], full["u2"]["bag_weights"]) == (None, None)
    plain = user_rows.with_history(controlled, About(histories, seen, None))
    assert not set(user_rows.BAG_COLUMNS) & set(plain.columns)


def test_a_model_reads_columns_of_histories_and_both_of_bags():
    assert user_rows.read_columns(("gaps", "items")) == ["items", "gaps"]
    assert user_rows.read_columns(("bag",)) == list(user_rows.BAG_COLUMNS)
    assert user_rows.read_columns(()) == []


def test_the_control_group_is_a_share_of_users_and_keeps_its_members(spark):
    users = spark.range(2000).selectExpr("concat('user ', id) AS user_id")

    def group(frame, share):
        return {row.user_id for row in user_rows.with_control(frame, share).where("is_control").collect()}

    tenth = group(users, 0.1)
    assert 150 < len(tenth) < 250
    assert tenth == group(users.repartition(5), 0.1)
    assert tenth < group(users, 0.2)
    assert group(users, 0.0) == set()
    assert len(group(users, 1.0)) == 2000


def test_only_users_with_truth_are_judged(spark):
    users = spark.createDataFrame([(2, "a"), (3, "b")], "user_idx int, user_id string")
    truth = spark.createDataFrame([(3, [9])], f"user_idx int, items {INTS}")
    assert [row.user_id for row in user_rows.only_judged(users, truth).collect()] == ["b"]


def test_the_sample_is_another_one_each_night_and_of_the_share_asked_for(spark):
    users = spark.range(20_000).selectExpr("concat('u', id) AS user_id")
    drawn = [
        {row.user_id for row in users.where(user_rows.is_in_share(0.05, "checked", str(day))).collect()}
        for day in (D, D, D + dt.timedelta(days=1))
    ]
    assert drawn[0] == drawn[1]
    assert all(900 < len(sample) < 1100 for sample in drawn)
    assert len(drawn[0] & drawn[2]) < 100


def test_shown_often_are_the_items_of_so_many_nights_of_the_users_own_lists(spark):
    listed = "user_id string, run_date date, items array<struct<item_id: string>>"
    live = spark.createDataFrame(
        [
            ("a", D, [("x",), ("y",)]),
            ("a", D - dt.timedelta(days=1), [("x",), ("gone",)]),
            ("a", D - dt.timedelta(days=2), [("gone",), ("x",)]),
            ("b", D, [("x",), ("x",)]),  # twice on one night is one night
            ("unknown", D, [("x",)]),
        ],
        listed,
    )
    users = spark.createDataFrame([("a", 2), ("b", 3)], "user_id string, user_idx int")
    items = spark.createDataFrame([("x", 7), ("y", 5)], "item_id string, item_idx int")

    def shown(num_nights):
        often = user_rows.shown_often(live, users, items, num_nights)
        return {row.user_idx: row["items"] for row in often.collect()}

    assert shown(1) == {2: [5, 7], 3: [7]}
    assert shown(2) == {2: [7]}
    assert shown(4) == {}
