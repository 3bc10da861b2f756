import numpy as np
import pytest

from recsys_spark.ranking.orders import first_n

STARTS = np.array([0, 5, 7])
ITEM_IDX = np.array([2, 3, 4, 5, 6, 6, 4], np.int32)
SCORES = np.array([8.0, 4.0, 2.0, 1.0, 0.5, 3.0, 2.0])
FACTORS = np.array([1.0, 0.125])


def everybody(is_allowed, num_users):
    """One group, which may get what `is_allowed` says."""
    return np.array([[False, True]]), is_allowed.astype(int), np.zeros(num_users, int)


def lists(order_of, num_items, left_out=None, forbidden=()):
    is_allowed = np.ones(8, np.bool_)
    is_allowed[list(forbidden)] = False
    got = first_n(
        np.array(order_of),
        STARTS,
        ITEM_IDX,
        SCORES,
        FACTORS,
        *everybody(is_allowed, len(order_of)),
        num_items,
        left_out,
    )
    return [
        list(zip(items[:n].tolist(), scores[:n].tolist(), strict=True))
        for items, scores, n in zip(got.item_idx, got.scores, got.num_items, strict=True)
    ]


def test_order_0_stands_behind_an_order_of_ones_own_without_its_items():
    everybody = [(2, 8.0), (3, 4.0), (4, 2.0), (5, 1.0), (6, 0.5)]
    own = [(6, 3.0), (4, 2.0), (2, 1.0), (3, 0.5), (5, 0.125)]
    assert lists([1, 0, 1], 5) == [own, everybody, own]
    assert lists([1, 0], 3) == [own[:3], everybody[:3]]


def test_what_is_left_out_or_forbidden_is_passed_over_and_the_list_may_be_short():
    left_out = (np.array([1, 0, 0, 1, 0]), np.array([6, 4, 99, 2, -1]))
    assert lists([1, 1, 1], 9, left_out, forbidden=[3]) == [
        [(6, 3.0), (2, 1.0), (5, 0.125)],
        [(4, 2.0), (5, 0.125)],
        [(6, 3.0), (4, 2.0), (2, 1.0), (5, 0.125)],
    ]


def test_nobody_and_no_order():
    assert lists([], 3) == []
    nothing = np.zeros(0)
    got = first_n(
        np.array([0]),
        np.zeros(2, np.int64),
        nothing.astype(np.int32),
        nothing,
        np.ones(1),
        *everybody(np.ones(3, np.bool_), 1),
        2,
    )
    assert got.num_items.tolist() == [0]


@pytest.mark.parametrize("num_items", [1, 20])
def test_random_orders_equal_a_plain_loop(num_items):
    rng = np.random.default_rng(3)
    orders = [rng.permutation(50)[:size] for size in (40, 12, 0, 25)]
    starts = np.concatenate([[0], np.cumsum([len(order) for order in orders])])
    item_idx = np.concatenate(orders).astype(np.int32)
    scores = np.concatenate([np.arange(len(order), 0, -1.0) for order in orders])
    is_allowed = rng.random(50) < 0.7
    order_of = rng.integers(0, 4, 30)
    unwanted = [set(rng.choice(50, rng.integers(0, 30), replace=False).tolist()) for _ in order_of]
    rows = np.repeat(np.arange(30), [len(items) for items in unwanted])
    left_out = (rows, np.array([item for items in unwanted for item in items]))
    got = first_n(
        order_of,
        starts,
        item_idx,
        scores,
        np.ones(4),
        *everybody(is_allowed, len(order_of)),
        num_items,
        left_out,
    )
    for user, number in enumerate(order_of):
        both = dict.fromkeys([*orders[number].tolist(), *orders[0].tolist()])
        expected = [item for item in both if is_allowed[item] and item not in unwanted[user]][:num_items]
        assert got.item_idx[user, : got.num_items[user]].tolist() == expected
