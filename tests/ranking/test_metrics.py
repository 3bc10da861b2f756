import numpy as np
import pytest
from ranx import Qrels, Run, evaluate

from recsys_spark.ranking import metrics

# One user a row: hits at ranks 2 and 4 of 3 truth items; a full list of hits; none; no list.
HITS = np.array([[0, 1, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)
TRUTH = np.array([3, 9, 1, 2])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (metrics.recall_at_k, [2 / 3, 4 / 9, 0, 0]),
        (metrics.precision_at_k, [0.5, 1, 0, 0]),
        (metrics.f1_at_k, [4 / 7, 8 / 13, 0, 0]),
        (metrics.map_at_k, [(1 / 2 + 2 / 4) / 3, 4 / 9, 0, 0]),
        (metrics.mrr_at_k, [0.5, 1, 0, 0]),
        (metrics.hit_rate_at_k, [1, 1, 0, 0]),
    ],
)
def test_values_by_hand(metric, expected):
    assert metric(HITS, TRUTH, 4) == pytest.approx(expected, abs=1e-15)


def test_ndcg_by_hand():
    ideal = 1 + 1 / np.log2(3) + 1 / 2
    expected = [(1 / np.log2(3) + 1 / np.log2(5)) / ideal, 1, 0, 0]
    assert metrics.ndcg_at_k(HITS, TRUTH, 4) == pytest.approx(expected, abs=1e-15)


def test_accuracy_counts_what_is_rightly_listed_and_rightly_left_out():
    listed = np.array([4, 4, 4, 0])
    got = metrics.accuracy_at_k(HITS, TRUTH, 4, listed, 20)
    assert got == pytest.approx([1 - 3 / 20, 1 - 5 / 20, 1 - 5 / 20, 1 - 2 / 20], abs=1e-15)


def test_only_the_first_k_count():
    assert metrics.hit_rate_at_k(HITS, TRUTH, 1).tolist() == [0, 1, 0, 0]
    assert metrics.ndcg_at_k(HITS, TRUTH, 1).tolist() == [0, 1, 0, 0]


def test_lists_shorter_than_k_miss_in_their_empty_places():
    assert metrics.precision_at_k(HITS, TRUTH, 8).tolist() == [0.25, 0.5, 0, 0]
    assert metrics.ndcg_at_k(HITS[:, :0], TRUTH, 8).tolist() == [0, 0, 0, 0]
    assert metrics.mrr_at_k(HITS[:, :0], TRUTH, 8).tolist() == [0, 0, 0, 0]


def test_hits_are_the_listed_items_of_the_same_users_truth():
    item_idx = np.array([[5, 7, 2**31 - 1], [7, 5, 0], [0, 0, 0]])
    truth, num_truth = np.array([9, 2**31 - 1, 5, 7, 5]), np.array([3, 1, 1])
    expected = [[True, False, True], [True, False, False], [False] * 3]
    assert metrics.hits_of(item_idx, truth, num_truth).tolist() == expected
    assert metrics.hits_of(item_idx[:0], truth[:0], num_truth[:0]).shape == (0, 3)


@pytest.mark.slow  # ranx compiles for half a minute
@pytest.mark.parametrize("k", [1, 5, 10, 15])
def test_agree_with_ranx_on_strict_scores(k):
    rng = np.random.default_rng(11)
    lists = {f"u{u}": [f"i{i}" for i in rng.permutation(60)[:10]] for u in range(50)}
    truth = {u: {f"i{i}" for i in rng.permutation(60)[: rng.integers(1, 20)]} for u in lists}
    qrels = Qrels({u: dict.fromkeys(items, 1) for u, items in truth.items()})
    run = Run({u: {item: 100.0 - rank for rank, item in enumerate(items)} for u, items in lists.items()})
    hits = np.array([[item in truth[u] for item in items] for u, items in lists.items()])
    num_truth = np.array([len(truth[u]) for u in lists])
    ours = {
        "recall": metrics.recall_at_k,
        "precision": metrics.precision_at_k,
        "f1": metrics.f1_at_k,
        "ndcg": metrics.ndcg_at_k,
        "map": metrics.map_at_k,
        "mrr": metrics.mrr_at_k,
        "hit_rate": metrics.hit_rate_at_k,
    }
    theirs = evaluate(qrels, run, [f"{name}@{k}" for name in ours], threads=1)
    got = {f"{name}@{k}": metric(hits, num_truth, k).mean() for name, metric in ours.items()}
    assert got == pytest.approx(theirs, abs=1e-12)
