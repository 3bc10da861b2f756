"""Users with an event or two: the items most similar to theirs; no Spark, no TensorFlow."""

from dataclasses import replace

import numpy as np
import pytest
from hand_made import (
    VECTORS,
    V,
    filled_by,
    items,
    listed,
    model,
    ranker,
    scores,
    similar_of,
    transitions,
    users,
)

from recsys_spark.forms.inner_product import directions
from recsys_spark.scoring.rules import Rerank, Rules

FEW = {"item_based_max_events": 2}
LENGTHS = np.linalg.norm(VECTORS[:, :-1].astype(np.float64), axis=1)


def cosine(one, other):
    inner = (VECTORS[one, :-1].astype(np.float64) * VECTORS[other, :-1]).sum()
    return float(inner / (LENGTHS[one] * LENGTHS[other]))


def by_cosines(history, left_out, offsets=None):
    """Every item by the sum of its cosines with the history, and those sums."""
    found = {
        i: sum(cosine(one, i) for one in history) + (offsets or {}).get(i, 0.0)
        for i in set(range(2, V)) - set(left_out)
    }
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))


def test_a_user_of_one_event_gets_the_similar_items_of_that_item_which_are_not_seen():
    catalogue, known = items(unavailable=[9]), model(untrained=[10])
    got = ranker(catalogue, known, 5, **FEW).lists(users(([4], [4], "", False), ([7], [7, 8], "", False)))
    alike = similar_of(known, catalogue)(np.array([4, 7]), 6)
    assert listed(got)[0] == alike.item_idx[0, :5].tolist()
    assert scores(got)[0] == alike.scores[0, :5].tolist()
    assert listed(got)[1] == [i for i, _ in by_cosines([7], [7, 8, 9, 10])][:5]
    assert filled_by(got) == [[("item_based", 5)]] * 2
    assert got["recommender"].to_pylist() == ["attention"] * 2
    assert got["model_version"].to_pylist() == ["v1"] * 2


@pytest.mark.parametrize("history", [[3, 4], [4, 4]])
def test_two_events_add_their_cosines(history):
    got = ranker(items(), model(), 6, **FEW).lists(users((history, history, "", False)))
    best = by_cosines(history, history)[:6]
    assert listed(got) == [[i for i, _ in best]]
    assert scores(got)[0] == pytest.approx([score for _, score in best], abs=1e-6)


def test_more_events_than_the_setting_are_the_models():
    rows = [([4], [4], "", False), ([4, 5], [4, 5], "", False), ([4, 5, 6], [4, 5, 6], "", False)]
    plain = ranker(items(), model(), 5).lists(users(*rows))
    for most in (0, 1, 2, 3):
        got = ranker(items(), model(), 5, item_based_max_events=most).lists(users(*rows))
        assert [row[0][0] for row in filled_by(got)] == ["item_based"] * most + ["attention"] * (3 - most)
        assert listed(got)[most:] == listed(plain)[most:]


def test_only_events_that_the_model_knows_are_counted_and_add_up():
    made = ranker(items(num=40), model(untrained=[10]), 5, **FEW)
    got = made.lists(users(([5, 10, 35, 1], [5], "", False), ([10, 5, 1, 6], [5, 6], "", False)))
    assert filled_by(got) == [[("item_based", 5)]] * 2
    assert listed(got)[0] == [i for i, _ in by_cosines([5], [5, 10])][:5]
    assert listed(got)[1] == [i for i, _ in by_cosines([5, 6], [5, 6, 10])][:5]


def test_the_control_group_and_users_without_a_known_event_still_get_popularity():
    made = ranker(items(), model(untrained=[8]), 3, **FEW)
    got = made.lists(users(([4], [4], "", True), ([8], [8], "", False), (None, None, "", False)))
    assert filled_by(got) == [[("popularity", 3)]] * 3
    assert listed(got)[0] == [2, 3, 5]


def test_the_transitions_are_item_based_by_themselves():
    known = transitions(i5={9: 1.0})
    got = ranker(items(), known, 2, **FEW).lists(users(([5], [5], "", False)))
    assert filled_by(got) == [[("transitions", 1), ("popularity", 1)]]


def test_without_the_events_of_a_reason_the_score_is_lower_by_as_much_as_stated():
    made = ranker(items(), model(), V, item_based_max_events=3)
    got = made.lists(
        users(([4, 5, 6], [4, 5, 6], "", False), ([7, 4, 7], [4, 7], "", False), ([7, 7], [7], "", False))
    )
    for row, history in enumerate([[4, 5, 6], [7, 4, 7], [7, 7]]):
        told = [got[name].to_pylist()[row] for name in ("items", "scores", "because", "because_scores")]
        without = {}
        for gone in set(history):
            rest = [other for other in history if other != gone]
            without[gone] = dict.fromkeys(told[0], 0.0)
            if rest:
                again = made.lists(users((rest, history, "", False)))
                without[gone] = dict(zip(listed(again)[0], scores(again)[0], strict=True))
        for item, score, because, fall in zip(*told, strict=True):
            falls = {gone: score - left[item] for gone, left in without.items()}
            if because == 0:
                assert fall == 0 and max(falls.values()) <= 1e-6
                continue
            assert falls[because] == pytest.approx(fall, abs=1e-6)
            assert falls[because] == pytest.approx(max(falls.values()), abs=1e-6)
        assert any(told[2])


def test_item_based_lists_have_reasons_also_where_the_network_gives_none():
    batch = users(([4], [4], "", False), ([4, 5, 6], [4, 5, 6], "", False), (None, None, "", False))
    got = ranker(items(), model(untrained=range(7, V)), 4, **FEW).lists(batch)
    assert filled_by(got)[0] == [("item_based", 4)]
    because, fall = (got[name].to_pylist() for name in ("because", "because_scores"))
    assert because[1:] == fall[1:] == [[], []]
    assert because[0] == [4 if cosine(4, item) > 0 else 0 for item in listed(got)[0]]
    assert fall[0] == pytest.approx([max(score, 0.0) for score in scores(got)[0]], abs=1e-6)


def test_popularity_fills_up_behind():
    rows = [([own], [own], "", False) for own in (2, 3, 4)]
    got = ranker(items(), model(untrained=range(5, V)), 4, **FEW).lists(users(*rows))
    assert filled_by(got) == [[("item_based", 2), ("popularity", 2)]] * 3
    assert max(cosine(own, 0) for own in (2, 3, 4)) > 0  # the empty places that popularity fills
    for row in range(3):
        assert listed(got)[row][2:] == [5, 6]
        assert got["because"].to_pylist()[row][2:] == [0, 0]
        assert np.all(np.diff(scores(got)[row]) <= 0)


def test_of_two_items_that_say_as_much_the_newer_is_named_first_and_each_once():
    vectors = VECTORS.copy()
    vectors[5] = vectors[4]
    known = model()
    form = replace(known.form, item_vectors=vectors, directions=directions(vectors))
    batch = users(*[(history, [4, 5], "", False) for history in ([4, 5], [5, 4], [4, 4])])
    got = ranker(items(), known._replace(form=form), 1, num_reasons=2, **FEW).lists(batch)
    assert got["because"].to_pylist() == [[5, 4], [4, 5], [4, 0]]


def test_a_boost_counts_as_much_less_as_a_cosine_is_smaller_than_a_logit():
    catalogue = items(categories={i: ["x"] for i in range(2, V, 2)}, rules=Rules(boosts={"x": 3.0}))
    got = ranker(catalogue, model(), 6, **FEW).lists(users(([4], [4], "", False)))
    offsets = {i: np.log(3.0) / 2 for i in range(2, V, 2)}  # four dimensions beside the bias
    best = by_cosines([4], [4], offsets)[:6]
    assert listed(got) == [[i for i, _ in best]]
    assert scores(got)[0] == pytest.approx([score for _, score in best], abs=1e-6)


def test_caps_and_segments_hold_and_the_company_of_other_users_changes_no_list():
    catalogue = items(
        categories={i: ["even"] if i % 2 == 0 else ["odd"] for i in range(2, V)},
        only={i: ["de"] for i in range(2, 15)}, rules=Rules(max_per_category=3),
    )  # fmt: skip
    histories = [[4], [4, 5], [4, 5, 6], [20, 21], [20], [7, 8, 9], [3, 3]]
    batch = users(
        *[(h, h, "fr" if n % 2 else "de", False) for n, h in enumerate(histories)], (None, None, "", False)
    )
    made = ranker(catalogue, model(), 6, rerank=Rerank("diversity", 0.3, 12), **FEW)
    whole = made.lists(batch).to_pylist()
    assert whole == [row for n in range(8) for row in made.lists(batch.slice(n, 1)).to_pylist()]
    for n, row in enumerate(whole[:7]):
        assert sum(i % 2 for i in row["items"]) == len(row["items"]) / 2 == 3
        assert n % 2 == 0 or min(row["items"]) >= 15
