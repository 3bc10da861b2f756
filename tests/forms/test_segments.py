import numpy as np

from recsys_spark.forms import segments

ROWS = [
    ("", 2, 8.0),
    ("", 3, 4.0),
    ("", 4, 2.0),
    ("", 5, 1.0),
    ("FR", 4, 2.0),
    ("FR", 3, 0.5),
]


def fitted(rows=ROWS):
    names, item_idx, values = zip(*rows, strict=True)
    return segments.fit(names, np.array(item_idx), np.array(values))


def order(model, segment):
    number = model.numbers([segment])[0]
    part = slice(model.starts[number], model.starts[number + 1])
    return dict(zip(model.item_idx[part].tolist(), model.scores[part].tolist(), strict=True))


def test_a_segment_stands_by_its_own_popularity():
    assert list(order(fitted(), "FR").items()) == [(4, 2.0), (3, 0.5)]
    assert list(order(fitted(), "")) == [2, 3, 4, 5]


def test_an_unknown_or_missing_segment_is_everybody():
    assert fitted().numbers(["DE", None, "", "FR"]).tolist() == [0, 0, 0, 1]


def test_equal_popularity_stands_by_item_idx():
    rows = [("", 9, 1.0), ("", 2, 1.0), ("", 5, 2.0)]
    assert list(order(fitted(rows), "")) == [5, 2, 9]


def test_everybodys_scores_behind_a_segment_are_below_its_own():
    model = fitted()
    behind = [score * model.factors[1] for score in order(model, "").values()]
    assert min(behind) > 0 and max(behind) <= 0.5 * 0.5
    assert model.factors[0] == 1


def test_row_order_does_not_matter():
    was, now = fitted(), fitted(ROWS[::-1])
    for name in ("starts", "item_idx", "scores", "factors"):
        assert np.array_equal(getattr(was, name), getattr(now, name))


def test_no_events_at_all_know_no_item():
    model = segments.fit([], np.array([], dtype=np.int64), np.array([]))
    assert order(model, "FR") == {}
