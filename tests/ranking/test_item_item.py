from __future__ import annotations

import numpy as np
import pytest

from recsys_spark.ranking.item_item import ItemWeights, UserItems, contributions, of_histories, top_n

V = 60


def item_item(rows):
    """{item: {next item: weight}} as rows of V items."""
    dense = [sorted(rows.get(item, {}).items()) for item in range(V)]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in dense])])
    flat = [pair for row in dense for pair in row]
    return ItemWeights(
        starts, np.array([j for j, _ in flat], np.int32), np.array([w for _, w in flat], np.float32)
    )


def drawn(seed, num_values=4):
    """Few different weights, powers of two: many equal scores, and sums that are exact."""
    rng = np.random.default_rng(seed)
    return {
        item: {
            int(j): 2.0 ** -int(rng.integers(num_values))
            for j in rng.choice(np.arange(2, V), 12, replace=False)
        }
        for item in range(2, V)
        if item % 7
    }


def brute_force(history, weights, rows, allowed, num_items, seen):
    """Every item's sum, newest event first, sorted by (score descending, item_idx ascending)."""
    found = []
    for user, (items, factors) in enumerate(zip(history.tolist(), weights.tolist(), strict=True)):
        scores = dict.fromkeys(range(V), 0.0)
        for item, factor in reversed(list(zip(items, factors, strict=True))):
            for j, weight in rows.get(item, {}).items() if item > 1 else ():
                scores[j] += factor * float(np.float32(weight))
        best = sorted((-s, j) for j, s in scores.items() if s > 0 and allowed[j] and j not in seen[user])
        found.append([(j, -s) for s, j in best[:num_items]])
    return found


def as_rows(lists):
    assert not lists.item_idx[np.arange(lists.item_idx.shape[1]) >= lists.num_items[:, None]].any()
    return [
        [(int(i), float(s)) for i, s in zip(items[:n], scores[:n], strict=True)]
        for items, scores, n in zip(lists.item_idx, lists.scores, lists.num_items, strict=True)
    ]


def pairs(seen):
    found = [(row, item) for row, items in enumerate(seen) for item in items][::-1]  # in no order of rows
    return np.array([r for r, _ in found], np.int64), np.array([i for _, i in found], np.int64)


def histories(rng, num_users, length):
    """Left-padded, some empty, with unknown, repeated and newer items."""
    history = rng.choice(np.r_[1, np.arange(2, 12), 2:V, V, V + 5], (num_users, length))
    num_pads = rng.integers(length + 1, size=num_users)
    history[np.arange(length) < num_pads[:, None]] = 0
    history[0] = 0
    return history


@pytest.mark.parametrize("num_items", [1, 3, 10, 200])
@pytest.mark.parametrize("decay", [0.5, 0.83])
def test_equals_brute_force_with_ties_pads_repeats_and_left_out_items(num_items, decay):
    rng = np.random.default_rng(num_items)
    rows, history = drawn(1), histories(rng, 40, 9)
    weights = np.where(history > 0, decay ** np.arange(9)[::-1], 0)
    allowed = rng.random(V) < 0.7
    seen = [set(rng.choice(V + 3, size=rng.integers(20)).tolist()) for _ in history]
    got = top_n(of_histories(history, weights), item_item(rows), allowed, num_items, pairs(seen))
    assert as_rows(got) == brute_force(history, weights, rows, allowed, num_items, seen)
    assert len({s for row in as_rows(got) for _, s in row}) < got.num_items.sum()


def test_equal_scores_come_by_item_idx_and_the_greater_ones_are_dropped():
    rows = {2: {9: 1.0, 3: 1.0, 5: 1.0, 7: 2.0}}
    got = top_n(of_histories(np.array([[2]]), np.ones((1, 1))), item_item(rows), np.ones(V, bool), 3)
    assert as_rows(got) == [[(7, 2.0), (3, 1.0), (5, 1.0)]]


def test_what_one_user_may_not_get_the_next_one_may():
    rows = {2: {5: 1.0, 6: 0.5}}
    history, weights = np.full((3, 1), 2), np.ones((3, 1))
    left_out = (np.array([1, 1, 1]), np.array([5, -1, V]))
    got = top_n(of_histories(history, weights), item_item(rows), np.ones(V, bool), 2, left_out)
    assert got.item_idx.tolist() == [[5, 6], [6, 0], [5, 6]]
    assert got.scores.tolist() == [[1.0, 0.5], [0.5, 0.0], [1.0, 0.5]]


def test_an_item_without_a_positive_score_is_not_listed():
    rows = {2: {5: 1.0, 6: 0.0}, 3: {5: -1.0, 7: 1.0}}
    got = top_n(of_histories(np.array([[2, 3]]), np.ones((1, 2))), item_item(rows), np.ones(V, bool), 5)
    assert as_rows(got) == [[(7, 1.0)]]


def test_a_list_does_not_depend_on_the_batch():
    rng = np.random.default_rng(3)
    rows = {i: {j: float(rng.random()) for j in range(2, V)} for i in range(2, V)}
    history = histories(rng, 16, 20)
    weights = rng.random(history.shape)
    matrix, allowed = item_item(rows), np.ones(V, bool)
    whole = top_n(of_histories(history, weights), matrix, allowed, 10)
    for user in range(16):
        alone = top_n(of_histories(history[user : user + 1], weights[user : user + 1]), matrix, allowed, 10)
        assert alone.item_idx[0].tolist() == whole.item_idx[user].tolist()
        assert alone.scores[0].tolist() == whole.scores[user].tolist()


def test_no_users_no_history_and_no_places_give_empty_lists():
    matrix, allowed = item_item({2: {3: 1.0}}), np.ones(V, bool)
    assert top_n(
        of_histories(np.zeros((0, 4), int), np.zeros((0, 4))), matrix, allowed, 3
    ).item_idx.shape == (0, 3)
    assert top_n(
        of_histories(np.zeros((2, 0), int), np.zeros((2, 0))), matrix, allowed, 3
    ).num_items.tolist() == [0, 0]
    assert top_n(
        of_histories(np.full((2, 1), 2), np.ones((2, 1))), matrix, allowed, 0
    ).num_items.tolist() == [0, 0]


def test_rows_read_from_a_memory_map_give_the_same(tmp_path):
    matrix, history, weights = item_item(drawn(5)), np.arange(2, 12)[None], np.ones((1, 10))
    for name in ("starts", "neighbours", "weights"):
        np.save(tmp_path / name, getattr(matrix, name))
    mapped = ItemWeights(
        *(np.load(tmp_path / f"{n}.npy", mmap_mode="r") for n in ("starts", "neighbours", "weights"))
    )
    expected = top_n(of_histories(history, weights), matrix, np.ones(V, bool), 10)
    assert as_rows(top_n(of_histories(history, weights), mapped, np.ones(V, bool), 10)) == as_rows(expected)


def test_a_part_is_what_the_score_loses_without_that_items_events():
    rng = np.random.default_rng(11)
    history = histories(rng, 30, 9)
    weights = np.where(history > 0, 0.5 ** np.arange(9)[::-1], 0)  # exact sums
    matrix, allowed = item_item(drawn(2)), np.ones(V, bool)
    lists = top_n(of_histories(history, weights), matrix, allowed, 5)
    parts = contributions(of_histories(history, weights), matrix, lists.item_idx, 9)
    assert parts.scores.sum(axis=2).tolist() == lists.scores.tolist()
    for user, row in enumerate(history):
        for column, item in enumerate(lists.item_idx[user][: lists.num_items[user]]):
            lost = []
            for other in dict.fromkeys(row[::-1].tolist()):  # newest first
                others = np.where(row[None] == other, 0, weights[user : user + 1])
                left = dict(as_rows(top_n(of_histories(row[None], others), matrix, allowed, V))[0]).get(
                    int(item), 0.0
                )
                lost.append((lists.scores[user, column] - left, other))
            expected = sorted((part for part in lost if part[0] > 0), key=lambda part: -part[0])
            n = len(expected)
            assert parts.scores[user, column, :n].tolist() == [part for part, _ in expected]
            assert parts.item_idx[user, column].tolist() == [i for _, i in expected] + [0] * (9 - n)


def test_the_greatest_parts_stay_and_of_equal_ones_the_newer():
    rows = {2: {9: 1.0}, 3: {9: 4.0}, 4: {9: 2.0}, 5: {8: 9.0}, 6: {9: 2.0}}
    history = np.array([[0, 2, 4, 1, 3, 6, 5]])
    got = contributions(of_histories(history, np.ones((1, 7))), item_item(rows), np.array([[9, 8, 0, 7]]), 2)
    assert got.item_idx.tolist() == [[[3, 6], [5, 0], [0, 0], [0, 0]]]
    assert got.scores.tolist() == [[[4, 2], [9, 0], [0, 0], [0, 0]]]


def test_a_repeated_item_has_one_part_at_its_newest_event():
    history, weights = np.array([[2, 3, 2, 3, 2]]), np.array([[0.5, 1.75, 1, 1.5, 1.75]])
    got = contributions(
        of_histories(history, weights), item_item({2: {9: 1.0}, 3: {9: 1.0}}), np.array([[9]]), 3
    )
    assert (got.item_idx.tolist(), got.scores.tolist()) == ([[[2, 3, 0]]], [[[3.25, 3.25, 0]]])


@pytest.mark.parametrize(
    ("starts", "neighbours", "weights"),
    [([0, 1], [0], []), ([0, 2], [0], [1]), ([1, 1], [0], [1]), ([0, 1], [1], [1]), ([0, 2, 1], [0], [1]),
     ([], [], []), ([0, 1], [], [1, 1]), ([0, 1, 4], [], [1, 1, 1, 1])],
)  # fmt: skip
def test_rows_that_do_not_fit_are_refused(starts, neighbours, weights):
    with pytest.raises(ValueError, match="do not fit"):
        ItemWeights(np.array(starts, int), np.array(neighbours, np.int32), np.array(weights, np.float32))


def test_arguments_that_do_not_fit_are_refused():
    matrix, allowed = item_item({}), np.ones(V, bool)
    with pytest.raises(ValueError, match="differ in shape"):
        of_histories(np.zeros((1, 2), int), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="3 items, 2 weights, expected 3"):
        top_n(UserItems(np.array([0, 3]), np.arange(3), np.ones(2)), matrix, allowed, 1)
    with pytest.raises(ValueError, match="not finite"):
        top_n(of_histories(np.zeros((1, 2), int), np.full((1, 2), np.nan)), matrix, allowed, 1)
    with pytest.raises(ValueError, match="expected 60 items, got 59"):
        top_n(of_histories(np.zeros((1, 2), int), np.zeros((1, 2))), matrix, allowed[1:], 1)


def dense(matrix):
    """The same weights with every row written out."""
    weights = np.zeros((V, V), matrix.weights.dtype)
    for item in range(V):
        row = slice(matrix.starts[item], matrix.starts[item + 1])
        weights[item, matrix.neighbours[row]] = matrix.weights[row]
    return ItemWeights(np.arange(V + 1) * V, np.zeros(0, np.int32), weights.reshape(-1))


def test_dense_rows_give_the_lists_and_the_parts_of_sparse_ones():
    rng = np.random.default_rng(4)
    sparse, history = item_item(drawn(3)), histories(rng, 30, 9)
    users = of_histories(history, np.where(history > 0, 0.5 ** np.arange(9)[::-1], 0))
    allowed, seen = rng.random(V) < 0.7, pairs([set(rng.choice(V, size=9).tolist()) for _ in history])
    expected, got = (top_n(users, matrix, allowed, 10, seen) for matrix in (sparse, dense(sparse)))
    assert as_rows(got) == as_rows(expected)
    assert got.num_items.sum() > 100
    one, other = (contributions(users, matrix, got.item_idx, 4) for matrix in (sparse, dense(sparse)))
    assert (one.item_idx.tolist(), one.scores.tolist()) == (other.item_idx.tolist(), other.scores.tolist())


def test_a_factor_multiplies_the_score_and_0_keeps_an_item_from_the_group():
    rng = np.random.default_rng(9)
    rows, history, kind = drawn(6), histories(rng, 40, 9), rng.integers(0, 4, V)
    weights = np.where(history > 0, 0.5 ** np.arange(9)[::-1], 0)
    factors, group = np.array([[0, 1, 2, 0], [0, 0.5, 1, 4]], float), rng.integers(0, 2, 40)
    users, seen = of_histories(history, weights), [set()] * 40
    got = as_rows(top_n(users, item_item(rows), kind, 8, factors=factors, group=group))
    plain = brute_force(history, weights, rows, np.ones(V, bool), V, seen)
    for user, scored in enumerate(plain):
        of_kind = factors[group[user]]
        best = sorted((-s * of_kind[kind[j]], j) for j, s in scored if of_kind[kind[j]])
        assert got[user] == [(j, -s) for s, j in best[:8]]
    assert got != as_rows(top_n(users, item_item(rows), kind, 8, factors=factors))


def test_users_with_unlike_numbers_of_items_are_ranked_each_by_their_own():
    rows = {2: {9: 1.0, 8: 0.5}, 3: {8: 1.0}}
    bags = UserItems(np.array([0, 2, 2, 3]), np.array([2, 3, 3]), np.array([1.0, 4.0, 1.0]), True)
    got = top_n(bags, item_item(rows), np.ones(V, bool), 3)
    assert as_rows(got) == [[(8, 4.5), (9, 1.0)], [], [(8, 1.0)]]
    parts = contributions(bags, item_item(rows), got.item_idx, 2)
    assert parts.item_idx[0].tolist() == [[3, 2], [2, 0], [0, 0]]
    assert parts.scores[0].tolist() == [[4.0, 0.5], [1.0, 0.0], [0.0, 0.0]]
    for picked in ([2, 0], [1], [0, 1, 2]):
        some = bags.of_rows(np.array(picked))
        assert some.num_users == len(picked)
        assert as_rows(top_n(some, item_item(rows), np.ones(V, bool), 3)) == [as_rows(got)[n] for n in picked]


def test_weights_in_double_precision_are_not_rounded():
    matrix = item_item({2: {9: 1.0}})
    exact = ItemWeights(matrix.starts, matrix.neighbours, np.array([1 + 2.0**-40]))
    got = top_n(of_histories(np.array([[2]]), np.ones((1, 1))), exact, np.ones(V, bool), 1)
    assert as_rows(got) == [[(9, 1 + 2.0**-40)]]
