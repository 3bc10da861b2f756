import numpy as np

from recsys_spark.models import popularity
from recsys_spark.ranking.top_n import candidates, top_n

ROWS = [
    ("", 2, 8.0),
    ("", 3, 4.0),
    ("", 4, 2.0),
    ("", 5, 1.0),
    ("FR", 4, 2.0),
    ("FR", 3, 0.5),
]


def fitted(rows=ROWS, vocabulary=8):
    segments, item_idx, values = zip(*rows, strict=True)
    return popularity.fit(segments, np.array(item_idx), np.array(values), vocabulary)


def listed(model, segments, num_items=6):
    got = top_n(model.user_vectors(segments), candidates(model.item_vectors, model.is_known), num_items)
    return [items[:n].tolist() for items, n in zip(got.item_idx, got.num_items, strict=True)]


def test_a_segment_comes_first_and_everybody_fills_the_rest():
    assert listed(fitted(), ["FR", ""]) == [[4, 3, 2, 5], [2, 3, 4, 5]]


def test_an_unknown_or_missing_segment_gets_everybody():
    assert listed(fitted(), ["DE", None]) == [[2, 3, 4, 5]] * 2


def test_the_score_in_a_segment_is_its_popularity_and_falls_strictly_below_it():
    scores = fitted().item_vectors @ fitted().user_vectors(["FR"])[0]
    assert scores[[4, 3]].tolist() == [2.0, 0.5]
    assert 0 < scores[5] < scores[2] < 0.5


def test_items_without_events_are_not_known():
    assert fitted().is_known.tolist() == [False, False, True, True, True, True, False, False]


def test_row_order_does_not_matter():
    assert np.array_equal(fitted(ROWS[::-1]).item_vectors, fitted().item_vectors)


def test_no_events_at_all_know_no_item():
    model = popularity.fit([], np.array([], dtype=np.int64), np.array([]), 4)
    assert listed(model, ["FR", ""]) == [[], []]
