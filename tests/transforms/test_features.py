from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from recsys_spark import tables
from recsys_spark.transforms import features, numbers, titles, user_features
from recsys_spark.transforms.actions import Actions
from recsys_spark.transforms.features import FeatureTables
from recsys_spark.transforms.item_popularity import item_popularity
from tests.timelines import timelines_of

END = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)


def ago(days: float) -> dt.datetime:
    return END - dt.timedelta(days=days)


@pytest.fixture(scope="module")
def built(spark: SparkSession) -> FeatureTables:
    rows = [
        (2, 2, ago(1), 4.0, 1.0, "shop"),
        (2, 3, ago(11), 2.0, 3.0, "shop"),
        (3, 2, ago(31), None, 1.0, "shop"),
        (4, 2, ago(100), None, 1.0, "archive"),
    ]
    events = timelines_of(
        spark,
        [(u, i, at, 1, v, w, s, 0) for u, i, at, v, w, s in rows],
        split=lambda at, offsets: dict.fromkeys(tables.CUTS, np.zeros(len(offsets) - 1, np.int64)),
        ends=dict.fromkeys(tables.CUTS, END),
        active_days={"": 30, "archive": "all"},
        segments={2: "fr"},
    )
    users = spark.createDataFrame([("a", 2), ("b", 3), ("c", 4), ("d", 5)], "user_id string, user_idx int")
    listed = spark.createDataFrame(
        [("a", "de", 30, "t"), ("a", "fr", None, "s"), ("d", None, None, "s")],
        "user_id string, segment string, age int, source string",
    )
    described = features.Described(
        user_features.user_profiles(users, listed),
        items=spark.createDataFrame([("x", 2), ("y", 3), ("z", 4)], "item_id string, item_idx int"),
        catalogue=spark.createDataFrame(
            [
                ("x", "Red car", ["a", "b"], 1.0, 2000, True, "shop", ["de"], 18),
                ("y", None, ["b"], 3.0, None, False, None, None, None),
            ],
            "item_id string, title string, categories array<string>, price double, year int, is_available boolean, "
            "seller string, segments array<string>, min_age int",
        ),
    )
    ends = {"night": END}
    return features.feature_tables(
        events,
        item_popularity(events, ends, half_life_days=10),
        described,
        ends,
        sizes=features.Sizes(num_categories=2, title_buckets=2),
        actions=Actions(keep=lambda frame: frame, gather=lambda frame: frame.toArrow()),
    )


@pytest.fixture(scope="module")
def items(built: FeatureTables) -> dict[str, Row]:
    return {row.item_id: row for row in built.item_features.collect()}


@pytest.fixture(scope="module")
def users(built: FeatureTables) -> dict[str, Row]:
    return {row.user_id: row for row in built.user_features.collect()}


@pytest.fixture(scope="module")
def places(built: FeatureTables) -> dict[str, tuple[int, float, float]]:
    rows = built.feature_columns.collect()
    return {f"{row.entity} {row.name}": (row.position, row["mean"], row["std"]) for row in rows}


def at(row: Row, places: dict[str, Any], name: str) -> float:
    return float(row.features[places[name][0]])


def test_popularity_halves_with_each_half_life(items: dict[str, Row]) -> None:
    assert items["x"].popularity == pytest.approx(1 + 0.5**3 + 0.5**9.9)
    assert items["y"].popularity == pytest.approx(1.5)
    assert (items["x"].num_events, items["x"].num_users) == (3, 3)


def test_every_known_item_has_a_row(items: dict[str, Row]) -> None:
    assert (items["z"].num_events, items["z"].popularity, items["z"].title, items["z"].categories) == (
        0,
        0.0,
        None,
        [],
    )
    assert {name: row.is_available for name, row in items.items()} == {"x": True, "y": False, "z": True}


def test_categories_are_ordered_by_frequency_then_name(places: dict[str, Any], items: dict[str, Row]) -> None:
    assert (places["item category:b"][0], places["item category:a"][0]) == (0, 1)
    assert {name: row.features[:2] for name, row in items.items()} == {
        "x": [1.0, 1.0],
        "y": [1.0, 0.0],
        "z": [0.0, 0.0],
    }


def test_numbers_are_scaled_by_the_items_with_events(places: dict[str, Any], items: dict[str, Row]) -> None:
    assert places["item price"][1:] == (2.0, 1.0)
    assert [at(items[name], places, "item price") for name in "xyz"] == [-1.0, 1.0, 0.0]
    assert [at(items[name], places, "item has_price") for name in "xyz"] == [1.0, 1.0, 0.0]
    assert places["item year"][1:] == (2000.0, 1.0)


def test_titles_have_length_one_or_zero(items: dict[str, Row]) -> None:
    assert math.hypot(*items["x"].features[2:4]) == pytest.approx(1, abs=1e-6)
    assert items["y"].features[2:4] == [0.0, 0.0]


def test_segments_count_their_users_only_and_the_first_source_names_them(built: FeatureTables) -> None:
    got = {(row.segment, row.item_idx): row.popularity for row in built.segment_popularity.collect()}
    assert got.keys() == {("", 2), ("", 3), ("fr", 2), ("fr", 3)}
    assert got["fr", 2] == pytest.approx(1.0)


def test_active_is_a_fresh_event_or_a_listing(users: dict[str, Row]) -> None:
    assert {name: row.is_active for name, row in users.items()} == {
        "a": True,
        "b": False,
        "c": True,
        "d": True,
    }


def test_a_user_profile_says_activity_recency_and_values(users: dict[str, Row]) -> None:
    a, d = users["a"], users["d"]
    assert (a.num_events, a.num_items, a.recency_days, a.mean_value, a.std_value) == (2, 2, 1.0, 3.0, 1.0)
    assert (d.num_events, d.num_items, d.recency_days, d.mean_value, d.segment) == (0, 0, None, None, "")
    assert users["b"].mean_value is None


def test_affinity_is_the_share_of_weight(places: dict[str, Any], users: dict[str, Row]) -> None:
    assert at(users["a"], places, "user affinity:a") == pytest.approx(0.25)
    assert at(users["a"], places, "user affinity:b") == pytest.approx(1.0)
    assert at(users["d"], places, "user affinity:b") == 0.0


def test_equal_values_have_no_spread_and_huge_ones_do_not_overflow(spark: SparkSession) -> None:
    frame = spark.createDataFrame(
        [(1, 3.3), (1, 3.3), (1, 3.3), (2, 1e300), (2, -1e300), (3, None)], "k int, v double"
    )
    got = {r.k: r.m.asDict() for r in frame.groupBy("k").agg(numbers.scale(F.col("v")).alias("m")).collect()}
    assert got[1] == {"mean": pytest.approx(3.3), "std": 1.0}
    assert got[2]["mean"] == 0.0
    assert got[3] == {"mean": 0.0, "std": 1.0}
    rows = [
        (u, 2, ago(n), 1, v, 1.0, "s", n)
        for n, (u, v) in enumerate([(2, 3.3)] * 3 + [(3, 1e300), (3, -1e300)])
    ]
    none = {"night": 0}
    activity = user_features.user_activity(timelines_of(spark, rows), {"night": END}, {}, none).collect()
    found = {r.user_idx: (r.mean_value, r.std_value) for r in activity}
    assert found == {2: (pytest.approx(3.3), 0.0), 3: (0.0, 1e18)}


def test_terms_are_lower_case_runs_of_letters_and_digits(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("Red, CAR!",), ("car red",), (None,), ("",)], "title string")
    rows = [r.t for r in frame.select(titles.title_terms(F.col("title"), 50).alias("t")).collect()]
    assert sorted(rows[0]) == sorted(rows[1]) and len(rows[0]) == 2
    assert rows[2:] == [[], []]


def test_tf_idf_counts_repeated_terms_and_has_length_one(spark: SparkSession) -> None:
    frame = spark.createDataFrame([([0, 0, 1],), ([],)], "terms array<int>")
    idf = F.array(*map(F.lit, (1.0, 2.0, 3.0)))
    got = [row.t for row in frame.select(titles.tf_idf(F.col("terms"), idf).alias("t")).collect()]
    assert got == [pytest.approx([math.sqrt(0.5), math.sqrt(0.5), 0.0]), [0.0, 0.0, 0.0]]
