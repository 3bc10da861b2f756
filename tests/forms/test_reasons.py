import numpy as np
import pytest

from recsys_spark.forms.reasons import by_leaving_out, nothing, take_in, without
from recsys_spark.ranking.top_n import Lists


def histories(*rows):
    """(item_idx, gap) by event, the oldest first, left-padded to 4."""
    padded = [[(0, 0)] * (4 - len(row)) + list(row) for row in rows]
    pairs = np.array(padded, np.int32)
    return {
        "items": pairs[:, :, 0],
        "gaps": pairs[:, :, 1],
        "weights": (pairs[:, :, 0] > 0).astype(np.float32),
    }


@pytest.mark.parametrize(
    ("gone", "items", "gaps"),
    [
        ([3], [0, 5, 6, 7], [0, 0, 10, 20]),
        ([2], [0, 5, 6, 8], [0, 0, 10, 50]),  # 20 seconds before it and 30 after it
        ([1], [0, 5, 7, 8], [0, 0, 30, 30]),
        ([0], [0, 6, 7, 8], [0, 0, 20, 30]),  # the oldest event has no gap
        ([1, 2], [0, 0, 5, 8], [0, 0, 0, 60]),
        ([0, 2], [0, 0, 6, 8], [0, 0, 0, 50]),
        ([0, 1, 2, 3], [0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_older_events_move_up_and_gaps_join(gone, items, gaps):
    given = histories([(5, 0), (6, 10), (7, 20), (8, 30)], [(6, 0), (6, 2**31 - 1), (9, 2**31 - 1)])
    marked = np.zeros((2, 4), bool)
    marked[0, gone], marked[1, 2] = True, True
    got = without(given, marked)
    assert got["items"].tolist() == [items, [0, 0, 6, 9]]
    assert got["gaps"].tolist() == [gaps, [0, 0, 0, 2**31 - 1]]  # the longest there is
    assert got["weights"].tolist() == [[int(item > 0) for item in items], [0, 0, 1, 1]]
    assert {name: values.dtype for name, values in got.items()} == {n: v.dtype for n, v in given.items()}
    assert given["items"].tolist() == [[5, 6, 7, 8], [0, 6, 6, 9]]


VECTORS = np.array([[7], [5], [1], [-2], [3], [1]], np.float32)


def encode(given):
    return (VECTORS[given["items"]] * (given["items"] > 0)[:, :, None]).sum(axis=1)


def told(given, listed):
    """item_idx and scores [B, N, 2] of the reasons."""
    item_idx = np.array(listed)
    lists = Lists(item_idx, np.zeros(item_idx.shape), (item_idx > 0).sum(axis=1))
    got = by_leaving_out(given, lists, encode, VECTORS[item_idx], 2)
    return got.item_idx.tolist(), got.scores.tolist()


def test_an_event_that_lowers_the_score_and_an_unknown_one_are_no_reasons():
    item_idx, falls = told(histories([(1, 0), (3, 5)], [(2, 0), (4, 5)]), [[2, 0], [4, 2]])
    assert item_idx == [[[0, 0], [0, 0]], [[4, 2], [4, 2]]]
    assert falls == [[[0, 0], [0, 0]], [[9, 3], [3, 1]]]


def test_an_items_events_count_together_and_of_equal_items_the_one_with_the_newer_event_is_first():
    given = histories([(2, 0), (5, 5)], [(5, 0), (2, 1), (5, 1)], [(2, 0), (2, 1)])
    assert told(given, [[4]] * 3) == ([[[5, 2]], [[5, 2]], [[2, 0]]], [[[3, 3]], [[6, 3]], [[6, 0]]])


@pytest.mark.parametrize("num_reasons", [1, 2, 3, 9])
def test_the_greatest_falls_stay_and_of_equal_ones_the_newer_first(num_reasons):
    rng = np.random.default_rng(num_reasons)
    falls = rng.integers(-2, 4, (6, 5, 4)).astype(float)  # event, user, place; the newest event first
    items = rng.integers(2, 9, (6, 5))
    best = nothing(Lists(np.ones((5, 4), int), np.zeros((5, 4)), np.full(5, 4)), num_reasons)
    for event in range(6):
        rows = rng.permutation(5)
        take_in(best, rows, items[event, rows], falls[event, rows])
    for user in range(5):
        for place in range(4):
            events = [(falls[event, user, place], items[event, user]) for event in range(6)]
            kept = sorted((one for one in events if one[0] > 0), key=lambda one: -one[0])[:num_reasons]
            kept += [(0, 0)] * (num_reasons - len(kept))
            assert best.scores[user, place].tolist() == [fall for fall, _ in kept]
            assert best.item_idx[user, place].tolist() == [item for _, item in kept]
