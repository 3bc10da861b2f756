"""Rows of LISTS as Spark makes them, by popularity alone, and who is judged."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest

from recsys_spark import tables
from recsys_spark.scoring import lists, user_rows
from recsys_spark.scoring.bases import Basis
from recsys_spark.scoring.catalogue import catalogue
from recsys_spark.scoring.lists import Lot
from recsys_spark.scoring.rules import ListSettings, Rerank
from recsys_spark.scoring.stored_models import StoredModel
from recsys_spark.scoring.user_rows import About

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
def frames(spark):
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
    return user_rows.with_control(user_rows.only_active(features), 0.0), histories, seen


@pytest.fixture(scope="module")
def users(frames):
    active, histories, seen = frames
    return user_rows.with_history(active, About(histories, seen, seen.limit(0)))


def rows_of(users, items, num_items=2, batch_users=2, judged_as=None):
    lot = Lot("night", D, judged_as)
    return lists.lists(users, Basis(items, None), ListSettings(num_items, batch_users, 1), lot).rows()


def test_every_active_user_gets_a_list_of_the_contract(users, items):
    rows = {row.user_id: row for row in tables.LISTS.check(rows_of(users, items)).collect()}
    assert {u: row["items"] for u, row in rows.items()} == {"u2": [4, 3], "u3": [4], "u5": [2, 3]}
    assert {u: row.reason for u, row in rows.items()} == {
        "u2": None,
        "u3": "too_few_candidates: seen",
        "u5": None,
    }
    assert rows["u2"].segment == "FR"
    assert rows["u3"].cut == "night"
    assert rows["u3"].run_date == rows["u3"].ranked_on == D


def test_partitions_order_and_batches_change_nothing(users, items):
    one = sorted(rows_of(users.coalesce(1), items).collect())
    assert one == sorted(rows_of(users.repartition(3, "user_id"), items, batch_users=7).collect())


def test_repeats_allowed_forgets_what_was_seen(frames, items):
    active, histories, _ = frames
    rows = rows_of(user_rows.with_history(active, About(histories, None, None)), items).collect()
    assert {row.user_id: row["items"] for row in rows} == {"u2": [4, 2], "u3": [2, 3], "u5": [2, 3]}


def test_no_users_make_no_lists(users, items):
    assert rows_of(users.where("false"), items).count() == 0


def test_fallbacks_count_for_the_recommender_that_is_judged(users, items):
    rows = rows_of(users, items, judged_as="attention").select("recommender").distinct().collect()
    assert [row.recommender for row in rows] == ["attention"]


def model(name, form, members=()):
    return StoredModel(name, form, f"{name}'s", D, {}, 4, "", Path, members)


SETTINGS = ListSettings(2, 2, 1, explain=True)


def test_popularity_and_the_model_are_judged_without_reasons(items):
    transitions = model("transitions", "item_item")
    by = lists.judged_by(Basis(items, transitions), SETTINGS)
    assert {name: basis.model for name, (basis, _) in by.items()} == {
        "popularity": None, "transitions": transitions
    }  # fmt: skip
    assert not any(how.explain for _, how in by.values())
    assert list(lists.judged_by(Basis(items, None), SETTINGS)) == ["popularity"]


def test_each_member_of_a_blend_is_judged_alone_and_the_blend_with_them(items):
    members = model("transitions", "item_item"), model("ease", "item_item")
    blend = model("blend", "blend", members)
    by = lists.judged_by(Basis(items, blend), SETTINGS)
    assert {name: basis.model for name, (basis, _) in by.items()} == {
        "popularity": None, "transitions": members[0], "ease": members[1], "blend": blend
    }  # fmt: skip


def test_a_re_ranked_model_is_judged_also_as_it_was_before(items):
    how = SETTINGS._replace(rerank=Rerank("diversity", 0.5, 10))
    by = lists.judged_by(Basis(items, model("transitions", "item_item")), how)
    assert {name: settings.rerank.by for name, (_, settings) in by.items() if name != "popularity"} == {
        "transitions": "diversity", "transitions_before_diversity": "none"
    }  # fmt: skip
