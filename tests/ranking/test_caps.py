from itertools import chain

import numpy as np
import pytest

from recsys_spark.ranking.beyond_accuracy import Categories
from recsys_spark.ranking.caps import capped, caps
from recsys_spark.ranking.top_n import Lists


def groups(*of_items, num=9):
    """Of items 2, 3, ...; 0 and 1 have none."""
    sizes = [0, 0, *map(len, of_items)]
    return Categories(np.append(0, np.cumsum(sizes)), np.array(list(chain(*of_items)), np.int32), num)


def pool_of(*rows, width=None):
    width = max(map(len, rows), default=0) if width is None else width
    item_idx = np.array([[*row, *[0] * (width - len(row))] for row in rows], np.int64).reshape(
        len(rows), width
    )
    scores = np.where(item_idx > 0, np.arange(width, 0, -1.0), 0.0)
    return Lists(item_idx, scores, np.array([len(row) for row in rows], np.int64))


def rows(lists):
    assert (lists.item_idx > 0).sum(axis=1).tolist() == lists.num_items.tolist()
    return [items[:n].tolist() for items, n in zip(lists.item_idx, lists.num_items, strict=True)]


CATEGORIES = groups([0], [0], [0, 1], [1], [1, 2], [])  # of items 2 to 7


def test_an_item_is_passed_over_when_one_of_its_groups_is_full():
    pool = pool_of([2, 3, 4, 5, 6, 7])
    lists, needs_more = capped(pool, caps([(CATEGORIES, 1)]), 6)
    assert rows(lists) == [[2, 5, 7]]
    assert lists.scores.tolist() == [[6, 3, 1, 0, 0, 0]]
    lists, _ = capped(pool, caps([(CATEGORIES, 2)]), 6)
    assert rows(lists) == [[2, 3, 5, 6, 7]]
    assert needs_more.tolist() == [True]


def test_an_item_passed_over_uses_up_none_of_its_groups():
    lists, _ = capped(pool_of([2, 4, 5]), caps([(CATEGORIES, 1)]), 3)
    assert rows(lists) == [[2, 5]]


def test_each_kind_has_its_own_number_and_its_own_groups():
    sellers = groups([0], [1], [1], [0], [1], [1], num=2)
    pool = pool_of([2, 3, 4, 5, 6, 7])
    assert rows(capped(pool, caps([(CATEGORIES, 2), (sellers, 1)]), 6)[0]) == [[2, 3]]
    assert rows(capped(pool, caps([(sellers, 2), (CATEGORIES, 1)]), 6)[0]) == [[2, 5, 7]]
    assert rows(capped(pool, caps([(sellers, 3), (CATEGORIES, 2)]), 6)[0]) == [[2, 3, 5, 6, 7]]


def test_who_gets_too_few_from_a_full_pool_needs_a_longer_one():
    pool = pool_of([2, 3, 4], [2, 3], [2, 5, 7], [])
    _, needs_more = capped(pool, caps([(CATEGORIES, 1)]), 2)
    assert needs_more.tolist() == [True, False, False, False]


def test_what_is_placed_counts_and_is_not_listed_again():
    pool = pool_of([2, 3, 5, 7], [2, 3, 5, 7], [2, 3, 5, 7], [2, 3, 5, 7])
    placed = np.array([[2, 0], [0, 4], [0, 0], [2, 3]])
    lists, needs_more = capped(pool, caps([(CATEGORIES, 2)]), 4, placed)
    assert rows(lists) == [[3, 5, 7], [2, 5, 7], [2, 3, 5, 7], [5, 7]]
    assert needs_more.tolist() == [True, True, False, True]
    lists, _ = capped(pool, caps([(CATEGORIES, 1)]), 4, placed)
    assert rows(lists) == [[5, 7], [7], [2, 5, 7], [5, 7]]
    lists, _ = capped(pool_of([7, 5]), caps([(CATEGORIES, 1)]), 4, np.array([[7]]))
    assert rows(lists) == [[5]]


def test_nobody_no_pool_no_group_and_no_place():
    limits = caps([(CATEGORIES, 1)])
    assert rows(capped(pool_of(width=3), limits, 2)[0]) == []
    lists, needs_more = capped(pool_of([], width=3), limits, 2)
    assert (rows(lists), needs_more.tolist()) == ([[]], [False])
    nothing = caps([(Categories(np.zeros(9, np.int64), np.zeros(0, np.int32), 0), 1)])
    assert rows(capped(pool_of([4, 2, 3]), nothing, 2)[0]) == [[4, 2]]
    lists, needs_more = capped(pool_of([2]), limits, 0)
    assert (lists.item_idx.shape, needs_more.tolist()) == ((1, 0), [False])


def slowly(ranking, kinds, num_items, placed):
    held, kept = [item for item in placed if item], []
    for item in ranking:
        full = any(
            sum(group in of_item[other] for other in held + kept) >= most
            for of_item, most in kinds
            for group in of_item[item]
        )
        if not full and item not in held and len(kept) < num_items:
            kept.append(item)
    return kept


@pytest.mark.parametrize("seed", range(20))
def test_a_list_of_a_widened_pool_equals_the_greedy_one_over_the_whole_ranking(seed):
    rng = np.random.default_rng(seed)
    num_users, num_ranked, num_items = 7, 60, 8
    kinds = []
    for num_groups, most in ((rng.integers(1, 12), rng.integers(1, 4)), (rng.integers(1, 30), 2)):
        of_item = [rng.permutation(num_groups)[: rng.integers(0, 4)].tolist() for _ in range(num_ranked)]
        kinds.append(([[], [], *of_item], int(most)))
    limits = caps([(groups(*of_item[2:], num=30), most) for of_item, most in kinds])
    rankings = [rng.permutation(np.arange(2, num_ranked + 2)).tolist() for _ in range(num_users)]
    placed = rng.integers(2, num_ranked + 2, (num_users, 2)) * (rng.random((num_users, 2)) < 0.5)
    expected = [
        slowly(ranking, kinds, num_items, held)
        for ranking, held in zip(rankings, placed.tolist(), strict=True)
    ]
    done = {}
    for width in (10, 20, 40, num_ranked, num_ranked + 1):
        waiting = [user for user in range(num_users) if user not in done]
        if not waiting:
            break
        pool = pool_of(*[rankings[user][:width] for user in waiting], width=width)
        lists, needs_more = capped(pool, limits, num_items, placed[waiting])
        got = zip(waiting, rows(lists), needs_more, strict=True)
        done |= {user: listed for user, listed, more in got if not more}
    assert [done[user] for user in range(num_users)] == expected


def test_what_does_not_fit_is_refused():
    limits = caps([(CATEGORIES, 1)])
    with pytest.raises(ValueError, match="item_idx 8 is not among 8 items"):
        capped(pool_of([2, 8]), limits, 2)
    with pytest.raises(ValueError, match="placed: item_idx -1"):
        capped(pool_of([2]), limits, 2, np.array([[-1]]))
    with pytest.raises(ValueError, match="placed: expected 1 users, got 2"):
        capped(pool_of([2]), limits, 2, np.array([[0], [0]]))
    with pytest.raises(ValueError, match="at least 1 item of a group, got 0"):
        caps([(CATEGORIES, 0)])
    with pytest.raises(ValueError, match="kinds of 8 and 3 items"):
        caps([(CATEGORIES, 1), (groups([1]), 1)])
    with pytest.raises(ValueError, match="do not fit"):
        caps([(CATEGORIES._replace(num=2), 1)])
    with pytest.raises(ValueError, match="got none"):
        caps([])
    pool = pool_of([2, 3])
    with pytest.raises(ValueError, match="expected 0 to 2 items a user, got 3 to 3"):
        capped(Lists(pool.item_idx, pool.scores, np.array([3])), limits, 2)
    with pytest.raises(ValueError, match="differ"):
        capped(Lists(pool.item_idx, pool.scores[:, :1], pool.num_items), limits, 2)
    with pytest.raises(ValueError, match="not finite"):
        capped(Lists(pool.item_idx, pool.scores * np.nan, pool.num_items), limits, 2)
