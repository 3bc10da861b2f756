"""The rules of a run in the lists of small batches; no Spark, no TensorFlow."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hand_made import (
    V,
    filled_by,
    items,
    listed,
    model,
    ranker,
    score_of,
    scores,
    transitions,
    users,
)

from recsys_spark.scoring.ranker import NEW_ITEMS, TOO_FEW
from recsys_spark.scoring.rules import Rerank, Rules

A_USER = ([2, 3], [2, 3], "", False)
NOBODY = (None, None, "", False)  # without a history: popularity, which goes by number from 2 on
CATEGORIES = {i: ["even"] if i % 2 == 0 else ["odd", "third"] if i % 3 == 0 else ["odd"] for i in range(2, V)}


def by_score(history, boosts=None):
    """Every unseen item by score descending."""
    found = {
        i: score_of(history, i) + np.log((boosts or {}).get(i, 1.0)) for i in range(2, V) if i not in history
    }
    return sorted(found, key=lambda i: (-found[i], i))


def test_users_of_a_segment_or_age_get_only_what_they_may():
    only, min_age = {i: ["de"] for i in range(2, 20)}, {20: 18, 21: 12}
    made = ranker(items(only=only, min_age=min_age), model(), 6)
    batch = users(*[([2, 3], [2, 3], s, False) for s in ("de", "fr", "fr", "de")], ages=[30, 12, None, 30])
    got = listed(made.lists(batch))
    best = by_score([2, 3])
    assert got[0] == got[3] == best[:6]
    assert got[1] == [i for i in best if i >= 21][:6]
    assert got[2] == [i for i in best if i >= 22][:6]
    cold = listed(made.lists(users(*[(None, None, s, False) for s in ("de", "fr")], ages=[None, 18])))
    assert cold == [[2, 3, 4, 5, 6, 7], [20, 21, 22, 23, 24, 25]]


def test_what_a_user_blocked_or_was_shown_too_often_stays_out_of_every_source():
    made = ranker(items(), model(untrained=range(9, V)), 8)
    got = made.lists(users(A_USER, NOBODY, blocked=[[5, 10], [2]], shown=[[7], [3, 4]]))
    assert sorted(listed(got)[0][:3]) == [4, 6, 8]
    assert listed(got)[0][3:] == [9, 11, 12, 13, 14]
    assert listed(got)[1] == [5, 6, 7, 8, 9, 10, 11, 12]


def test_a_boost_multiplies_the_odds_of_a_category():
    made = ranker(items(categories=CATEGORIES, rules=Rules(boosts={"third": 50.0, "even": 0.5})), model(), 8)
    boosts = {i: 50.0 if i % 6 == 3 else 0.5 if i % 2 == 0 else 1.0 for i in range(2, V)}
    best = by_score([2, 3], boosts)[:8]
    got = made.lists(users(A_USER))
    assert listed(got) == [best]
    assert scores(got)[0] == pytest.approx([score_of([2, 3], i) + np.log(boosts[i]) for i in best], abs=1e-5)


def test_a_boost_multiplies_scores_of_transitions_their_reasons_and_popularity():
    catalogue = items(categories={9: ["x"], 20: ["x"]}, rules=Rules(boosts={"x": 4.0}))
    got = ranker(catalogue, transitions(i5={7: 3.0, 9: 1.0}), 3).lists(users(([5], [5], "", False), NOBODY))
    assert listed(got) == [[9, 7, 20], [9, 20, 2]]
    assert scores(got)[0] == [4.0, 3.0, 2.0]
    assert got["because_scores"].to_pylist()[0] == [4.0, 3.0, 0.0]


def greedy(ranking, num_items, most):
    """Walk a ranking and pass over what a full category has."""
    held, kept = Counter(), []
    for item in ranking:
        if len(kept) < num_items and all(held[name] < most for name in CATEGORIES[item]):
            kept.append(item)
            held.update(CATEGORIES[item])
    return kept


@pytest.mark.parametrize("history", [[2, 3], [4, 5, 6, 7]])
def test_at_most_so_many_of_a_category_is_the_walk_through_the_whole_ranking(history):
    catalogue = items(categories=CATEGORIES, rules=Rules(max_per_category=3))
    got = ranker(catalogue, model(), 5).lists(users((history, history, "", False)))
    assert listed(got)[0] == greedy(by_score(history), 5, 3)
    assert len(listed(got)[0]) == 5


def test_the_cap_counts_over_model_and_popularity_together_and_a_short_list_says_so():
    catalogue = items(categories=CATEGORIES, sellers=dict.fromkeys(range(2, 30), "shop"),
                      rules=Rules(max_per_category=2, max_per_seller=9))  # fmt: skip
    got = ranker(catalogue, model(untrained=range(7, V)), 6).lists(users(A_USER, NOBODY))
    for row in listed(got):
        held = Counter(name for item in row for name in CATEGORIES[item])
        assert len(row) == 4 and max(held.values()) == 2
    assert got["reason"].to_pylist() == [f"{TOO_FEW}: seen, max_per_category, max_per_seller",
                                         f"{TOO_FEW}: max_per_category, max_per_seller"]  # fmt: skip


def test_a_short_list_names_only_the_rules_that_kept_something_from_its_own_user():
    only, min_age = {i: ["de"] for i in range(2, 16)}, dict.fromkeys(range(16, 30), 18)
    made = ranker(items(only=only, min_age=min_age), None, 40)
    rows = [(None, None, "de", False), (None, None, "de", False), (None, None, "", False)]
    told = made.lists(users(*rows, ages=[18, 17, 40]))["reason"].to_pylist()
    assert told == [TOO_FEW, f"{TOO_FEW}: min_age", f"{TOO_FEW}: segments"]


def test_a_seller_is_capped_too():
    catalogue = items(sellers={2: "x", 3: "x", 4: "x", 5: "y"}, rules=Rules(max_per_seller=1))
    assert listed(ranker(catalogue, None, 4).lists(users(NOBODY))) == [[2, 5, 6, 7]]


NEW = range(20, 28)


def test_new_items_get_the_last_places_drawn_for_each_user_and_night():
    batch = users(*[A_USER] * 4, NOBODY, ([2, 3], [2, 3, *range(20, 26)], "", False))
    drawn = []
    for night in (1, 1, 2):
        catalogue = items(new=NEW, rules=Rules(num_new_items=2, seed=7), night=night)
        got = ranker(catalogue, model(untrained=NEW), 6, num_new_items=2).lists(batch)
        drawn.append([row[4:] for row in listed(got)])
        assert all(set(row[4:]) <= set(NEW) and len(set(row)) == 6 for row in listed(got))
        assert [row[-1] for row in filled_by(got)] == [(NEW_ITEMS, 2)] * 6
        assert np.all(np.diff(scores(got), axis=1) <= 0)
        assert listed(got)[4][:4] == [2, 3, 4, 5]
        assert sorted(listed(got)[5][4:]) == [26, 27]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert len({tuple(row) for row in drawn[0][:4]}) > 1


def test_places_for_new_items_that_do_not_exist_go_to_the_model():
    catalogue = items(new=[20], rules=Rules(num_new_items=3))
    got = ranker(catalogue, model(untrained=[20]), 6, num_new_items=3).lists(users(A_USER))
    assert filled_by(got) == [[("attention", 5), (NEW_ITEMS, 1)]]


def test_every_new_item_is_drawn_about_as_often():
    batch = users(*[NOBODY] * 8)
    made = ranker(items(new=NEW, rules=Rules(num_new_items=1)), None, 2, num_new_items=1)
    seen = Counter()
    for start in range(0, 4000, 8):
        seen.update(
            row[1]
            for row in listed(
                made.lists(batch.set_column(0, "user_idx", pa.array(range(start, start + 8), pa.int32())))
            )
        )
    assert set(seen) == set(NEW)
    assert min(seen.values()) > 400 and max(seen.values()) < 600


def diversity(row):
    pairs = [(a, b) for n, a in enumerate(row) for b in row[n + 1 :]]
    return sum(not set(CATEGORIES[a]) & set(CATEGORIES[b]) for a, b in pairs) / len(pairs)


def test_re_ranking_for_diversity_mixes_categories_and_keeps_the_best_first():
    plain = listed(ranker(items(categories=CATEGORIES), model(), 5).lists(users(A_USER)))[0]
    how = Rerank("diversity", 0.5, 20)
    got = ranker(items(categories=CATEGORIES), model(), 5, rerank=how).lists(users(A_USER))
    assert listed(got)[0][0] == plain[0]
    assert diversity(listed(got)[0]) > diversity(plain)
    assert np.all(np.diff(scores(got)[0]) <= 0)


def test_calibration_brings_the_mix_of_the_history_into_the_list():
    even, odd = ([2, 4, 6], [2, 4, 6], "", False), ([5, 7, 11], [5, 7, 11], "", False)
    made = ranker(items(categories=CATEGORIES), model(), 5, rerank=Rerank("calibration", 0.99, 30))
    got = listed(made.lists(users(even, odd)))
    assert all(i % 2 == 0 for i in got[0])
    assert all(i % 2 == 1 for i in got[1])


def test_caps_hold_also_for_what_was_re_ranked():
    catalogue = items(categories=CATEGORIES, rules=Rules(max_per_category=2))
    got = ranker(catalogue, model(), 4, rerank=Rerank("diversity", 0.3, 6)).lists(users(A_USER))
    assert max(Counter(name for item in listed(got)[0] for name in CATEGORIES[item]).values()) == 2
    assert len(listed(got)[0]) == 4


def test_under_all_rules_at_once_the_company_of_other_users_changes_no_list():
    catalogue = items(
        categories=CATEGORIES, only={i: ["de"] for i in range(2, 9)}, min_age={9: 18}, new=NEW,
        sellers={4: "s", 6: "s"},
        rules=Rules(("i11",), ("nothing",), {"third": 2.0}, 3, 1, 1, 0, 3),
    )  # fmt: skip
    made = ranker(catalogue, model(), 6, explain=True, num_new_items=1, rerank=Rerank("calibration", 0.4, 12))
    rows = [([n + 2, n + 3], [n + 2], "de" if n % 2 else "fr", False) for n in range(7)]
    batch = users(
        *rows, NOBODY, ages=[None, 5, 18, 19, 20, None, 40, 18], blocked=[[n + 9] for n in range(8)]
    )
    whole = made.lists(batch).to_pylist()
    assert whole == [row for n in range(8) for row in made.lists(batch.slice(n, 1)).to_pylist()]
