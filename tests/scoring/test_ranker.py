"""Batches of users through hand-made vectors; no Spark, no TensorFlow."""

import numpy as np
import pyarrow as pa
import pytest
from hand_made import (
    INT_LIST,
    VECTORS,
    V,
    filled_by,
    items,
    listed,
    model,
    ranker,
    score_of,
    scores,
    similar_of,
    transitions,
    users,
)

from recsys_spark.scoring.catalogue import segment_lists
from recsys_spark.scoring.ranker import TOO_FEW
from recsys_spark.scoring.rules import Rerank


def test_lists_equal_brute_force_without_seen_untrained_and_unavailable_items():
    batch = users(([2, 3], [2, 3], "", False), ([4, 5, 6, 7], [4, 5, 6, 7, 20], "", False))
    got = ranker(items(unavailable=[9]), model(untrained=[10, 11]), 6, 8).lists(batch)
    for row, (history, seen) in enumerate([([2, 3], {2, 3}), ([4, 5, 6, 7], {4, 5, 6, 7, 20})]):
        user = VECTORS[history].sum(axis=0)
        user[-1] = 1
        found = {
            i: float((user.astype(np.float64) * VECTORS[i].astype(np.float64)).sum())
            for i in set(range(2, V)) - seen - {9, 10, 11}
        }
        best = sorted(found, key=lambda i: (-found[i], i))[:6]
        assert listed(got)[row] == best
        assert scores(got)[row] == pytest.approx([found[i] for i in best], abs=1e-5)
        assert filled_by(got)[row] == [("attention", 6)]
    assert got["recommender"].to_pylist() == ["attention"] * 2
    assert got["model_version"].to_pylist() == ["v1"] * 2
    assert got["reason"].to_pylist() == [None, None]


def test_users_without_usable_history_get_the_popularity_of_their_segment():
    made = ranker(items(segment=[20, 21]), model(untrained=[8]), 3, 8)
    got = made.lists(users((None, None, "FR", False), ([8], [8], "", False), ([99, 1], [99], "", False)))
    assert listed(got) == [[21, 20, 2], [2, 3, 4], [2, 3, 4]]
    assert got["recommender"].to_pylist() == ["popularity"] * 3
    assert got["model_version"].to_pylist() == [None] * 3
    assert filled_by(got) == [[("popularity", 3)]] * 3


def test_the_control_group_gets_popularity():
    got = ranker(items(), model(), 3, 8).lists(users(([2, 3], [2, 3], "", True), ([2, 3], [2, 3], "", False)))
    assert got["recommender"].to_pylist() == ["popularity", "attention"]
    assert listed(got)[0] == [4, 5, 6]


def test_popularity_fills_behind_a_short_list_with_scores_still_falling():
    made = ranker(items(), model(untrained=range(5, V)), 5, 8)
    got = made.lists(users(([2], [2, 6], "", False), ([2, 3], [2, 3, 4, 7], "", False)))
    assert sorted(listed(got)[0][:2]) == [3, 4]
    assert listed(got)[0][2:] == [5, 7, 8]
    assert filled_by(got)[0] == [("attention", 2), ("popularity", 3)]
    assert np.all(np.diff(scores(got)[0]) <= 0)
    assert listed(got)[1] == [5, 6, 8, 9, 10]
    assert got["recommender"].to_pylist() == ["attention", "popularity"]


def test_a_list_is_shorter_only_when_nothing_is_left_and_says_so():
    made = ranker(items(popular=[2, 3, 4]), model(untrained=range(4, V)), 3, 8)
    got = made.lists(users(([2], [2], "", False), (None, [2, 3, 4], "", False), (None, None, "", False)))
    assert listed(got) == [[3, 4], [], [2, 3, 4]]
    assert got["reason"].to_pylist() == [f"{TOO_FEW}: seen", f"{TOO_FEW}: seen", None]


def test_a_user_who_saw_nearly_everything_gets_exactly_the_rest():
    got = ranker(items(), model(), 4, 8).lists(users(([2], list(range(2, V - 3)), "", False)))
    assert sorted(listed(got)[0]) == [27, 28, 29]


def test_without_seen_lists_items_may_repeat():
    got = ranker(items(), model(), V, 8).lists(users(([2], None, "", False)))
    assert sorted(listed(got)[0]) == list(range(2, V))


def test_items_newer_than_the_model_reach_lists_by_popularity_alone():
    made = ranker(items(num=33, popular=range(2, 33), unavailable=[31]), model(), 31, 8)
    got = made.lists(users(([2, 32], [2, 32], "", False)))
    assert listed(got)[0][-1:] == [30]
    assert filled_by(got)[0][-1] == ("popularity", 1)


def test_a_model_that_knows_items_the_catalogue_lost_never_lists_them():
    got = ranker(items(num=10, popular=range(2, 10)), model(), 9, 8).lists(users(([2], [2], "", False)))
    assert sorted(listed(got)[0]) == list(range(3, 10))


def test_the_company_of_other_users_changes_no_list():
    batch = users(*[([n + 2, n + 3], [n + 2], "", False) for n in range(7)], (None, None, "", False))
    made = ranker(items(), model(), 5, 8)
    whole = made.lists(batch).to_pylist()
    assert whole == [row for n in range(8) for row in made.lists(batch.slice(n, 1)).to_pylist()]


def test_popularity_alone_needs_no_model():
    got = ranker(items(), None, 2, 8).lists(users(([2], [2], "FR", False)))
    assert listed(got) == [[3, 4]]
    assert got["model_version"].to_pylist() == [None]


def test_no_items_at_all_give_empty_lists_with_the_reason():
    got = ranker(items(num=2, popular=[]), None, 2, 8).lists(users((None, None, "", False)))
    assert listed(got) == [[]]
    assert got["reason"].to_pylist() == [TOO_FEW]


def test_transitions_rank_by_what_followed_the_history_and_popularity_fills_up():
    model = transitions(i5={9: 1.0, 7: 0.5, 8: 4.0}, i6={7: 0.75, 5: 9.0})
    batch = users(([5, 6], [5, 6], "", False), (None, None, "", False), ([6], None, "", False))
    got = ranker(items(unavailable=[8]), model, 4, 8).lists(batch)
    assert listed(got) == [[7, 9, 2, 3], [2, 3, 4, 5], [5, 7, 2, 3]]
    assert scores(got)[0] == [1.0, 0.5, -0.5, -1.5]
    assert filled_by(got)[:2] == [[("transitions", 2), ("popularity", 2)], [("popularity", 4)]]
    assert got["recommender"].to_pylist() == ["transitions", "popularity", "transitions"]
    assert got["model_version"].to_pylist() == ["v2", None, "v2"]
    assert got["because"].to_pylist() == [[6, 5, 0, 0], [0] * 4, [6, 6, 0, 0]]
    assert got["because_scores"].to_pylist()[0] == [0.75, 0.5, 0, 0]


def test_without_a_reason_an_item_scores_as_much_less_as_stated():
    histories = [4, 5, 6], [7], [8, 8], [5, 9, 5, 4]
    batch = users(*[(history, history, "", False) for history in histories])
    got = ranker(items(), model(), 5, 8, explain=True, num_reasons=3).lists(batch)
    for row, history in enumerate(histories):
        names = ("items", "scores", "because", "because_scores")
        listed_items, own, gone, stated = (got[name].to_pylist()[row] for name in names)
        assert len(gone) == len(stated) == 3 * len(listed_items)
        for place, (item, score) in enumerate(zip(listed_items, own, strict=True)):
            falls = []
            for other in set(history):
                rest = [item for item in history if item != other]
                falls.append((score - (score_of(rest, item) if rest else 0.0), other))
            reasons = slice(3 * place, 3 * place + 3)
            kept = sorted((one for one in falls if one[0] > 0), reverse=True)
            padded = kept + [(0.0, 0)] * (3 - len(kept))
            assert gone[reasons] == [other for _, other in padded]
            assert stated[reasons] == pytest.approx([fall for fall, _ in padded], abs=1e-5)
    plain = ranker(items(), model(), 5, 8).lists(batch)
    assert listed(plain) == listed(got)
    assert plain["because"].to_pylist() == plain["because_scores"].to_pylist() == [[]] * 4


def test_transitions_name_the_greatest_parts_of_a_score():
    known = transitions(i5={9: 1.0}, i6={9: 4.0, 7: 1.0}, i7={9: 1.5})
    batch = users(([5, 6, 7], [5, 6, 7], "", False))
    got = ranker(items(), known, 2, 8, num_reasons=2).lists(batch)
    assert (listed(got), scores(got)) == ([[9, 2]], [[0.25 + 2.0 + 1.5, 2.75]])
    assert got["because"].to_pylist() == [[6, 7, 0, 0]]
    assert got["because_scores"].to_pylist() == [[2.0, 1.5, 0.0, 0.0]]


def test_in_a_re_ranked_list_a_reason_is_still_the_fall_of_the_models_own_score():
    categories, history = {i: [f"c{i % 3}"] for i in range(2, V)}, [4, 5, 6]
    made = ranker(items(categories=categories), model(), 6, explain=True, rerank=Rerank("diversity", 0.6, 12))
    got = made.lists(users((history, history, "", False)))
    shown, own = scores(got)[0], [score_of(history, item) for item in listed(got)[0]]
    assert shown == pytest.approx(np.minimum.accumulate(own).tolist(), abs=1e-5)
    assert shown != pytest.approx(own, abs=1e-5)  # some were lowered
    for item, score, gone, stated in zip(
        listed(got)[0], own, got["because"].to_pylist()[0], got["because_scores"].to_pylist()[0], strict=True
    ):
        assert stated == pytest.approx(score - score_of([i for i in history if i != gone], item), abs=1e-5)


def test_similar_items_of_transitions_are_what_follows():
    model = transitions(i5={9: 1.0, 7: 0.5, 8: 4.0, 5: 9.0})
    lists = similar_of(model, items(unavailable=[8]))(np.array([5, 6]), 3)
    assert lists.item_idx.tolist() == [[9, 7, 0], [0, 0, 0]]


def test_ragged_histories_are_refused():
    batch = users(([2], [2], "", False), ([3], [3], "", False))
    ragged = batch.set_column(6, "types", pa.array([[1, 2, 3], [4, 5, 6, 7, 8]], INT_LIST))
    with pytest.raises(ValueError, match="expected lists of 4"):
        ranker(items(), model(), 2, 8).lists(ragged)


def test_default_lists_of_segments_put_the_segment_first_and_leave_out_the_unavailable():
    rows = segment_lists(items(segment=[20, 21], unavailable=[2]), 3)
    got = {row["segment"]: [item["item_id"] for item in row["items"]] for row in rows}
    assert got == {"": ["i3", "i4", "i5"], "FR": ["i21", "i20", "i3"]}
    assert rows[0]["items"][0] == {"item_id": "i3", "rank": 1, "score": 997.0, "source": "popularity"}
