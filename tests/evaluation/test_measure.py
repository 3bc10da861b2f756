"""What Spark measures against the definitions applied to whole arrays or pair by pair, on lists drawn at random."""

from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from recsys_spark.evaluation import judged
from recsys_spark.evaluation.item_facts import item_facts, numbered
from recsys_spark.evaluation.measure import Settings, measure
from recsys_spark.evaluation.user_metrics import names, user_metrics
from recsys_spark.ranking import beyond_accuracy, metric_table, metrics
from recsys_spark.ranking.metric_table import ALL, Metric

BATCH = "spark.sql.execution.arrow.maxRecordsPerBatch"
V, USERS, N, KS = 160, 60, 12, (3, 15)  # so many items that the first 3 places cover only some
METRICS = [metric.name for metric in ALL if metric.of_users]
RNG = np.random.default_rng(4)
CATEGORIES = [
    sorted(RNG.choice(list("abcd"), size=RNG.integers(0, 4), replace=False).tolist()) for _ in range(V)
]
ITEM_USERS = RNG.integers(0, 30, size=V)
POPULARITY = ITEM_USERS * 1.0
LENGTHS = [0, 1, 2, N, *RNG.integers(0, N + 1, size=USERS - 4).tolist()]
LISTS = [RNG.permutation(np.arange(2, V))[:n].tolist() for n in LENGTHS]
TRUTH = [RNG.permutation(np.arange(2, V))[: RNG.integers(1, 9)].tolist() for _ in range(USERS)]
WITHOUT_FACTS = (9, V - 1)  # listed, and no row of ITEM_FEATURES: within the numbers and beyond the last
for nameless in WITHOUT_FACTS:
    CATEGORIES[nameless], ITEM_USERS[nameless], POPULARITY[nameless] = [], 0, 0.0


def item_features(order):
    chosen = [i for i in order if i not in WITHOUT_FACTS]
    columns = {
        "item_idx": pa.array(chosen, pa.int32()),
        "item_id": [f"i{i}" for i in chosen],
        "categories": pa.array([CATEGORIES[i] for i in chosen], pa.list_(pa.string())),
        "is_available": [True] * len(chosen),
        "num_users": ITEM_USERS[chosen],
        "popularity": POPULARITY[chosen],
    }
    return pa.table(columns)


ITEMS = item_facts(item_features(range(2, V)), num_users=50)._replace(num_eligible=150)


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
            items if name == "drawn" else items[::-1],
        )
        for u, items in enumerate(LISTS)
        if items
        for name in ("drawn", "popularity")
    ]
    schema = "user_idx int, recommender string, items array<int>"
    return judged.on_test(truth, spark.createDataFrame(rows, schema), ["drawn", "popularity"])


@pytest.fixture(scope="module")
def measured(pairs):
    return run(pairs)


def run(pairs, items=ITEMS, min_users=5, seed=1, num_users=USERS, with_metrics=ALL):
    settings = Settings(KS, min_users, 200, seed, with_metrics)
    return measure(pairs, num_users, items, ["drawn", "popularity"], "time", settings)


def arrays():
    return [pa.array(lists, pa.list_(pa.int32())) for lists in (TRUTH, LISTS)]


def diversity(listed):
    """The definition pair by pair, with sets: shared with nothing that is tested."""
    chosen = [set(CATEGORIES[i]) for i in listed]
    pairs = list(combinations(chosen, 2))
    cosines = [len(a & b) / np.sqrt(len(a) * len(b)) if a and b else 0.0 for a, b in pairs]
    return 1 - sum(cosines) / len(pairs) if pairs else 0.0


def mean(values):
    return sum(values) / max(len(values), 1)


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
        out[f"accuracy_{k}"] = metrics.accuracy_at_k(hits, num_truth, k, listed, ITEMS.num_items)
        bits = np.log2(ITEMS.num_users / np.maximum(ITEM_USERS, 1))
        top = [items[:k] for items in lists]
        out[f"novelty_{k}"] = np.array([mean([bits[i] for i in items]) for items in top])
        out[f"diversity_{k}"] = np.array([diversity(items) for items in top])
        popular_from = np.sort(POPULARITY[POPULARITY > 0])[::-1][(np.sum(POPULARITY > 0) - 1) // 10]
        shares = [mean([POPULARITY[i] >= popular_from for i in items]) for items in top]
        out[f"popularity_share_{k}"] = np.array(shares)
    return out


def test_every_user_and_metric_equals_the_definition():
    got = dict(zip(names(ALL, KS), user_metrics(*arrays(), ITEMS, KS, ALL), strict=True))
    expected = numpy_metrics(LISTS)
    assert set(expected) == set(got) == {f"{metric}_{k}" for metric in METRICS for k in KS}
    for name, values in expected.items():
        assert got[name].tolist() == pytest.approx(values.tolist(), abs=1e-9), name


def test_means_and_coverage_equal_numpy(measured):
    expected = {name: values.mean() for name, values in numpy_metrics(LISTS).items()}
    padded = np.array([items + [0] * (N - len(items)) for items in LISTS])
    for k in KS:
        expected[f"coverage_{k}"] = beyond_accuracy.coverage_at_k(padded, k, ITEMS.num_eligible)
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


def test_partitioning_and_order_change_no_bit(measured, pairs):
    items = item_facts(item_features(range(V - 1, 1, -1)), 50)._replace(num_eligible=ITEMS.num_eligible)
    assert run(pairs.repartition(5, "truth").orderBy("listed"), items) == measured


def test_a_user_has_the_same_bits_in_whatever_batch():
    truth, listed = arrays()
    whole = np.array(list(user_metrics(truth, listed, ITEMS, KS, ALL)))
    for user in range(USERS):
        alone = list(user_metrics(truth.slice(user, 1), listed.slice(user, 1), ITEMS, KS, ALL))
        assert np.array_equal(np.concatenate(alone), whole[:, user])


def test_batches_change_no_bit(spark, measured, pairs):
    before = spark.conf.get(BATCH)
    spark.conf.set(BATCH, "7")
    try:
        assert run(pairs) == measured
    finally:
        spark.conf.set(BATCH, before)


def test_another_seed_moves_the_interval_and_not_the_value_and_few_users_are_not_judged(measured, pairs):
    other = run(pairs, min_users=USERS + 1, seed=2)
    assert [row["value"] for row in other] == [row["value"] for row in measured]
    assert [row["ci_low"] for row in other] != [row["ci_low"] for row in measured]
    assert all(row["is_judged"] and row["num_users"] == USERS for row in measured)
    assert not any(row["is_judged"] for row in other)


def test_a_metric_more_is_one_entry(pairs, measured):
    def first_rank_hits(lists, k):
        return lists.hits[:, 0] * float(k)

    more = Metric("first_rank_hits", "hits at rank 1, k times", first_rank_hits)
    rows = run(pairs, with_metrics=(*ALL, more))
    assert [row for row in rows if row["metric"] != more.name] == measured
    added = {(row["recommender"], row["k"]): row for row in rows if row["metric"] == more.name}
    assert {name for name, _ in added} == {"drawn", "popularity", "drawn - popularity"}
    for k in KS:
        firsts = [bool(items) and items[0] in truth for items, truth in zip(LISTS, TRUTH, strict=True)]
        assert added["drawn", k]["value"] == pytest.approx(k * np.mean(firsts))
        assert added["drawn", k]["ci_low"] <= added["drawn", k]["value"] <= added["drawn", k]["ci_high"]


def test_names_of_metrics_are_given_once_and_each_is_of_users_or_of_all_lists():
    names_of_all = [metric.name for metric in ALL]
    assert len(set(names_of_all)) == len(names_of_all)
    assert all((metric.of_users is None) != (metric.of_all is None) and metric.meaning for metric in ALL)
    assert set(metric_table.names_for_gate()) <= {metric.name for metric in ALL if metric.of_users}


def test_users_are_counted_where_nobody_says_how_many_they_are(pairs, measured):
    assert run(pairs, num_users=None) == measured


def test_numbers_take_the_place_of_ids_in_order_and_an_unknown_id_is_still_the_same_item():
    ids = pa.array([["i4", "new", "i2"], [], ["i3", "new", "i9"]], pa.list_(pa.string()))
    first, empty, last = numbered(ids, ITEMS).to_pylist()
    assert (first[0], first[2], empty, last[0]) == (4, 2, [], 3)
    assert first[1] == last[1] >= 2**30
    assert 2**30 <= last[2] != last[1]  # 9 has no row
    assert numbered(ids.slice(2), ITEMS).to_pylist() == [last]
    numbers = pa.array([[7, 8]], pa.list_(pa.int32()))
    assert numbered(numbers, ITEMS) is numbers


def test_ids_are_measured_as_their_numbers_are(pairs, measured):
    as_ids = [
        F.transform(name, lambda item: F.concat(F.lit("i"), item)).alias(name) for name in ("truth", "listed")
    ]
    assert run(pairs.select("user", "recommender", *as_ids)) == measured


def test_no_users_at_all_give_rows_without_values(pairs):
    rows = run(pairs.where("false"))
    assert {row["num_users"] for row in rows} == {0}
    assert {row["value"] for row in rows if row["metric"] == "ndcg"} == {None}
    assert not any(row["is_judged"] for row in rows)


def test_popular_is_the_most_popular_tenth_of_the_used_items_with_ties():
    columns = {
        "item_idx": pa.array(range(12, 1, -1), pa.int32()),
        "item_id": [f"i{i}" for i in range(12, 1, -1)],
        "categories": pa.array([["b"], None, [], ["a", "b"], *[["a"]] * 7], pa.list_(pa.string())),
        "is_available": [True] * 10 + [False],
        "num_users": [0, *[4] * 10],
        "popularity": [0.0, 9.0, 9.0, *[1.0] * 8],
    }
    items = item_facts(pa.table(columns), 8)
    assert (items.num_items, items.num_eligible, items.num_users) == (11, 9, 8)
    assert np.flatnonzero(items.is_popular).tolist() == [10, 11]
    assert items.bits.tolist() == [3, 3, *[1] * 10, 3]
    starts, codes, num = items.categories
    assert num == 2
    assert np.diff(starts).tolist() == [0, 0, *[1] * 7, 2, 0, 0, 1]
    assert codes[starts[9]] == codes[2 - 2] != codes[starts[12]] == codes[starts[9] + 1]
    assert not item_facts(pa.table(columns).slice(0, 1), 8).is_popular.any()
    assert len(item_facts(pa.table(columns).slice(0, 0), 8).bits) == 2
