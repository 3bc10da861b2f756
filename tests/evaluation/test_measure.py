"""Spark's metrics against the NumPy definitions, on lists drawn at random."""

import numpy as np
import pyarrow as pa
import pytest

from recsys_spark.evaluation import judged
from recsys_spark.evaluation.measure import CatalogueFacts, catalogue_facts, measure
from recsys_spark.evaluation.user_metrics import METRICS, item_facts, user_metrics
from recsys_spark.ranking import beyond_accuracy, metrics

V, USERS, N, KS = 40, 60, 12, (3, 15)
RNG = np.random.default_rng(4)
CATEGORIES = [
    sorted(RNG.choice(list("abcd"), size=RNG.integers(0, 4), replace=False).tolist()) for _ in range(V)
]
ITEM_USERS = RNG.integers(0, 30, size=V)
POPULARITY = ITEM_USERS * 1.0
LENGTHS = [0, 1, 2, N, *RNG.integers(0, N + 1, size=USERS - 4).tolist()]
LISTS = [RNG.permutation(np.arange(2, V))[:n].tolist() for n in LENGTHS]
TRUTH = [RNG.permutation(np.arange(2, V))[: RNG.integers(1, 9)].tolist() for _ in range(USERS)]
FACTS = CatalogueFacts(num_items=V - 2, num_eligible=30, num_users=50, popular_from=20.0)


@pytest.fixture(scope="module")
def features(spark):
    rows = [(i, CATEGORIES[i], int(ITEM_USERS[i]), float(POPULARITY[i])) for i in range(2, V)]
    return spark.createDataFrame(
        rows, "item_idx int, categories array<string>, num_users long, popularity double"
    )


@pytest.fixture(scope="module")
def pairs(spark):
    """Two recommenders: `drawn`, and `popularity` with the lists turned around; users without list have none."""
    truth = spark.createDataFrame(
        [(u + 2, items) for u, items in enumerate(TRUTH)], "user_idx int, items array<int>"
    )
    rows = [
        (
            u + 2,
            name,
            [(item, rank + 1) for rank, item in enumerate(items if name == "drawn" else items[::-1])],
        )
        for u, items in enumerate(LISTS)
        if items
        for name in ("drawn", "popularity")
    ]
    schema = "user_idx int, recommender string, items array<struct<item_idx int, rank int>>"
    return judged.on_test(truth, spark.createDataFrame(rows, schema), ["drawn", "popularity"])


@pytest.fixture(scope="module")
def measured(pairs, features):
    return run(pairs, features)


def run(pairs, features, min_users=5, seed=1):
    names = ["drawn", "popularity"]
    return measure(pairs, features, "item_idx", FACTS, names, "time", KS, min_users, 200, seed)


def numpy_metrics(lists):
    item_idx = np.array([items + [0] * (N - len(items)) for items in lists])
    hits = np.array(
        [[i in truth for i in row] for row, truth in zip(item_idx, TRUTH, strict=True)], dtype=bool
    )
    num_truth = np.array([len(items) for items in TRUTH])
    out = {}
    for k in KS:
        for name in ("ndcg", "recall", "precision", "map", "mrr", "hit_rate", "f1"):
            out[f"{name}_{k}"] = getattr(metrics, f"{name}_at_k")(hits, num_truth, k)
        listed = np.array([len(items) for items in lists])
        out[f"accuracy_{k}"] = metrics.accuracy_at_k(hits, num_truth, k, listed, FACTS.num_items)
        out[f"novelty_{k}"] = beyond_accuracy.novelty_at_k(item_idx, k, ITEM_USERS, FACTS.num_users)
        out[f"diversity_{k}"] = beyond_accuracy.diversity_at_k(item_idx, k, CATEGORIES)
        is_popular = FACTS.popular_from <= POPULARITY
        out[f"popularity_share_{k}"] = beyond_accuracy.popularity_share_at_k(item_idx, k, is_popular)
    return out


def test_every_user_and_metric_equals_the_numpy_definition(pairs, features):
    facts = item_facts(features, "item_idx", FACTS.popular_from)
    rows = (
        user_metrics(pairs, facts, KS, FACTS.num_items, FACTS.num_users)
        .where("recommender = 'drawn'")
        .collect()
    )
    assert len(rows) == USERS
    by_user = {row.user: row for row in rows}
    expected = numpy_metrics(LISTS)
    assert set(expected) == {f"{metric}_{k}" for metric in METRICS for k in KS}
    for name, values in expected.items():
        got = [by_user[u + 2][name] for u in range(USERS)]
        assert got == pytest.approx(values.tolist(), abs=1e-9), name


def test_means_and_coverage_equal_numpy(measured):
    expected = {name: values.mean() for name, values in numpy_metrics(LISTS).items()}
    padded = np.array([items + [0] * (N - len(items)) for items in LISTS])
    for k in KS:
        expected[f"coverage_{k}"] = beyond_accuracy.coverage_at_k(padded, k, FACTS.num_eligible)
    got = {f"{r['metric']}_{r['k']}": r["value"] for r in measured if r["recommender"] == "drawn"}
    assert got == pytest.approx(expected, abs=1e-9)


def test_the_difference_is_paired_and_its_interval_lies_around_it(measured):
    by_name = {(r["recommender"], r["metric"], r["k"]): r for r in measured}
    for metric in METRICS:
        both = [by_name[name, metric, 3] for name in ("drawn", "popularity", "drawn - popularity")]
        assert both[2]["value"] == pytest.approx(both[0]["value"] - both[1]["value"], abs=1e-15)
        assert all(row["ci_low"] <= row["value"] <= row["ci_high"] for row in both)
    # The same places in another order: equal for every user, so paired resamples never differ.
    same = by_name["drawn - popularity", "novelty", 15]
    assert abs(same["ci_low"]) < 1e-12
    assert abs(same["ci_high"]) < 1e-12


def test_partitioning_and_order_change_no_bit(measured, pairs, features):
    again = run(pairs.repartition(5, "truth").orderBy("listed"), features.repartition(2))
    assert again == measured


def test_another_seed_moves_the_interval_and_not_the_value_and_few_users_are_not_judged(
    measured, pairs, features
):
    other = run(pairs, features, min_users=USERS + 1, seed=2)
    assert [row["value"] for row in other] == [row["value"] for row in measured]
    assert [row["ci_low"] for row in other] != [row["ci_low"] for row in measured]
    assert all(row["is_judged"] and row["num_users"] == USERS for row in measured)
    assert not any(row["is_judged"] for row in other)


def test_no_users_at_all_give_rows_without_values(pairs, features):
    rows = run(pairs.where("false"), features)
    assert {row["num_users"] for row in rows} == {0}
    assert {row["value"] for row in rows if row["metric"] == "ndcg"} == {None}
    assert not any(row["is_judged"] for row in rows)


def test_popular_is_the_most_popular_tenth_of_the_used_items_with_ties():
    popularity = [0.0, 9.0, 9.0, *[1.0] * 8]
    table = pa.table({"popularity": popularity, "is_available": [True] * 10 + [False]})
    assert catalogue_facts(table, 5) == CatalogueFacts(11, 9, 5, 9.0)
    assert catalogue_facts(table.slice(0, 1), 5).popular_from == float("inf")
