import datetime as dt

import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from recsys_spark import tables
from recsys_spark.scoring import lists, workload
from recsys_spark.scoring.catalogue import catalogue
from recsys_spark.scoring.rules import ListSettings

D = dt.date(2024, 5, 31)
INTS = "array<int>"


NO_RULES = {
    "categories": pa.nulls(4, pa.list_(pa.string())),
    "seller": pa.nulls(4, pa.string()),
    "segments": pa.nulls(4, pa.list_(pa.string())),
    "min_age": pa.nulls(4, pa.int32()),
    "num_events": pa.array([1] * 4),
}


@pytest.fixture(scope="module")
def items():
    features = {
        "item_idx": [2, 3, 4, 5],
        "item_id": list("abcd"),
        "is_available": [True, True, True, False],
        **NO_RULES,
    }
    counts = {"segment": ["", "", "", "", "FR"], "item_idx": [2, 3, 4, 5, 4], "popularity": [4.0, 3, 2, 9, 1]}
    return catalogue(pa.table(features), pa.table(counts))


@pytest.fixture(scope="module")
def users(spark):
    features = spark.createDataFrame(
        [
            (2, "u2", "FR", 9, True),
            (3, "u3", "", 9, True),
            (4, "u4", None, 9, False),
            (5, "u5", "DE", 9, True),
        ],
        "user_idx int, user_id string, segment string, age int, is_active boolean",
    )
    histories = spark.createDataFrame(
        [
            (2, [0, 2], [0, 1], [0.0, 1.0], [0, 0], [0.0, 1.0]),
            (3, [2, 3], [1, 1], [1.0, 1.0], [0, 9], [1.0, 1.0]),
        ],
        "user_idx int, items array<int>, types array<int>, values array<float>, gaps array<int>, "
        "weights array<float>",
    )
    seen = spark.createDataFrame([(2, [2]), (3, [2, 3])], f"user_idx int, items {INTS}")
    active = lists.with_control(lists.only_active(features), 0.0)
    return lists.with_history(active, histories, seen, seen.limit(0), seen.limit(0))


def made(users, items, num_items=2, batch_users=2, judged_as=None):
    return lists.lists(
        users, items, None, ListSettings(num_items, batch_users, 1), "night", D, judged_as=judged_as
    ).rows()


def test_every_active_user_gets_a_list_of_the_contract(users, items):
    rows = {row.user_id: row for row in tables.LISTS.check(made(users, items)).collect()}
    assert {u: row["items"] for u, row in rows.items()} == {"u2": [4, 3], "u3": [4], "u5": [2, 3]}
    assert {u: row.reason for u, row in rows.items()} == {
        "u2": None,
        "u3": "too_few_candidates: seen",
        "u5": None,
    }
    assert rows["u2"].segment == "FR"
    assert rows["u3"].cut == "night"
    assert rows["u3"].run_date == D


def test_partitions_order_and_batches_change_nothing(users, items):
    one = sorted(made(users.coalesce(1), items).collect())
    assert one == sorted(made(users.repartition(3, "user_id"), items, batch_users=7).collect())


def test_repeats_allowed_forgets_what_was_seen(users, items):
    rows = made(lists.without_seen(users), items).collect()
    assert {row.user_id: row["items"] for row in rows} == {"u2": [4, 2], "u3": [2, 3], "u5": [2, 3]}


def test_no_users_make_no_lists(users, items):
    assert made(users.where("false"), items).count() == 0


def test_the_control_group_is_a_share_of_users_and_keeps_its_members(spark):
    users = spark.range(2000).selectExpr("concat('user ', id) AS user_id")

    def group(frame, share):
        return {row.user_id for row in lists.with_control(frame, share).where("is_control").collect()}

    tenth = group(users, 0.1)
    assert 150 < len(tenth) < 250
    assert tenth == group(users.repartition(5), 0.1)
    assert tenth < group(users, 0.2)
    assert group(users, 0.0) == set()
    assert len(group(users, 1.0)) == 2000


def test_only_users_with_truth_are_judged(spark):
    users = spark.createDataFrame([(2, "a"), (3, "b")], "user_idx int, user_id string")
    truth = spark.createDataFrame([(3, [9])], f"user_idx int, items {INTS}")
    assert [row.user_id for row in lists.only_judged(users, truth).collect()] == ["b"]


def test_the_work_counts_tonights_users_the_judged_and_the_heaviest_of_both(users, items, spark):
    heavy = spark.createDataFrame(
        [(9, list(range(2, 50)), [7])], f"user_idx int, seen {INTS}, blocked {INTS}"
    )
    judged = heavy.withColumn("shown", F.lit(None).cast(INTS))
    judged = judged.unionByName(judged.withColumn("seen", F.lit(None).cast(INTS)))
    work = workload.work(users, judged, items, [], ListSettings(2, 8, 1), 5, 10, 2)
    assert (work.num_users, work.num_left_out) == (3, 3)
    assert (work.judged_users, work.judged_left_out, work.max_left_out) == (2, 50, 49)
    none = workload.work(users, judged.limit(0), items, [], ListSettings(2, 8, 1), 5, 10, 2)
    assert (none.judged_users, none.judged_left_out, none.max_left_out) == (0, 0, 2)


def test_fallbacks_count_for_the_recommender_that_is_judged(users, items):
    rows = made(users, items, judged_as="attention").select("recommender").distinct().collect()
    assert [row.recommender for row in rows] == ["attention"]
