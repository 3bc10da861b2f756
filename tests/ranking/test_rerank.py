import math
from itertools import chain, pairwise

import numpy as np
import pytest

from recsys_spark.ranking.beyond_accuracy import Categories, diversity_at_k
from recsys_spark.ranking.rerank import calibrated, mmr, user_mix
from recsys_spark.ranking.top_n import Lists


def categories_of(*of_items, num):
    """Of items 2, 3, ...; 0 and 1 have none."""
    sizes = [0, 0, *map(len, of_items)]
    return Categories(np.append(0, np.cumsum(sizes)), np.array(list(chain(*of_items)), np.int32), num)


def pool_of(*rows, width=None):
    """Rows of (item_idx, score)."""
    width = max(map(len, rows), default=0) if width is None else width
    padded = np.array([[*row, *[(0, 0.0)] * (width - len(row))] for row in rows]).reshape(len(rows), width, 2)
    return Lists(padded[..., 0].astype(np.int64), padded[..., 1], np.array([len(row) for row in rows], int))


def rows(lists):
    for items, scores, n in zip(lists.item_idx, lists.scores, lists.num_items, strict=True):
        assert not items[n:].any()
        assert not scores[n:].any()
    return [items[:n].tolist() for items, n in zip(lists.item_idx, lists.num_items, strict=True)]


def relevance(pool):
    scores = [score for _, score in pool]
    low, high = min(scores), max(scores)
    return {item: (score - low) / (high - low) if high > low else 0.0 for item, score in pool}


def slow_mmr(pool, own, trade_off, num_items):
    listed, left = [], [item for item, _ in pool]
    while left and len(listed) < num_items:

        def marginal(item):
            similarity = 0.0
            for other in listed:
                shared = len(set(own[item]) & set(own[other]))
                if shared:
                    cosine = shared / math.sqrt(len(own[item]) * len(own[other]))
                    similarity = max(similarity, cosine)
            return (1.0 - trade_off) * relevance(pool)[item] - trade_off * similarity

        best = max(left, key=marginal)  # the first of equals
        left.remove(best)
        listed.append(best)
    return listed


def divergence(listed, own, target):
    known = [item for item in listed if own[item]]
    total = 0.0
    for category, wish in enumerate(target):
        share = sum(1 / len(own[item]) for item in known if category in own[item]) / max(len(known), 1)
        if wish:
            total += wish * math.log(wish / (0.99 * share + 0.01 * wish))
    return total


def slow_calibrated(pool, own, target, trade_off, num_items):
    listed, left = [], [item for item, _ in pool]
    while left and len(listed) < num_items:
        value = {
            item: (1 - trade_off) * sum(relevance(pool)[other] for other in [*listed, item])
            - trade_off * divergence([*listed, item], own, target)
            for item in left
        }
        best = next(item for item in left if value[item] >= max(value.values()) - 1e-12)
        left.remove(best)
        listed.append(best)
    return listed


def drawn(seed, num_users=6, num_categories=5):
    """Pools of 0 to 14 items whose scores often tie, and items of 0 to 3 categories."""
    rng = np.random.default_rng(seed)
    own = [[], []]
    own += [sorted(rng.permutation(num_categories)[: rng.integers(0, 4)].tolist()) for _ in range(30)]
    pools = []
    for _ in range(num_users):
        items = rng.permutation(np.arange(2, 32))[: rng.integers(0, 15)].tolist()
        scores = np.sort(rng.integers(-6, 7, len(items)) / 4)[::-1].tolist()
        pools.append(list(zip(items, scores, strict=True)))
    target = rng.dirichlet(np.ones(num_categories), num_users)
    target[0] = 0
    target[1, 0] = 0
    target[1] /= target[1].sum()
    return own, pools, target, categories_of(*own[2:], num=num_categories)


# Items 2 to 6: a, a, b, a and b, none.
CATEGORIES = categories_of([0], [0], [1], [0, 1], [], num=2)
POOL = [(2, 11.0), (3, 10.0), (4, 5.0), (5, 3.0), (6, 1.0)]  # relevance 1, .9, .4, .2, 0


def test_mmr_prefers_what_is_unlike_the_items_above_it():
    # After 2: 3 has .45 - .5, 4 has .2, 5 has .1 - .35, 6 has 0. Then 6 is the only one unlike both.
    lists = mmr(pool_of(POOL), CATEGORIES, 0.5, 5)
    assert rows(lists) == [[2, 4, 6, 3, 5]]


def test_mmr_does_not_depend_on_the_scale_of_the_scores():
    moved = [(item, 1000 * score - 7000) for item, score in POOL]
    assert rows(mmr(pool_of(moved), CATEGORIES, 0.5, 5)) == [[2, 4, 6, 3, 5]]


def test_a_score_that_would_rise_is_lowered_to_the_one_above():
    lists = mmr(pool_of(POOL, POOL[:3]), CATEGORIES, 0.5, 5)
    assert lists.scores.tolist() == [[11, 5, 1, 1, 1], [11, 5, 5, 0, 0]]
    target = np.array([[0.0, 1.0]])
    assert calibrated(pool_of(POOL), CATEGORIES, target, 1.0, 3).scores.tolist() == [[5, 1, 1]]


@pytest.mark.parametrize("trade_off", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(20))
def test_mmr_equals_the_formula_word_for_word(seed, trade_off):
    own, pools, _, categories = drawn(seed)
    for num_items in (1, 5, 20):
        got = rows(mmr(pool_of(*pools), categories, trade_off, num_items))
        assert got == [slow_mmr(pool, own, trade_off, num_items) for pool in pools]


@pytest.mark.parametrize("trade_off", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(20))
def test_calibration_equals_the_formula_word_for_word(seed, trade_off):
    own, pools, target, categories = drawn(seed)
    for num_items in (1, 5, 20):
        got = rows(calibrated(pool_of(*pools), categories, target, trade_off, num_items))
        expected = [
            slow_calibrated(pool, own, mix, trade_off, num_items)
            for pool, mix in zip(pools, target, strict=True)
        ]
        assert got == expected


def test_a_list_is_mixed_as_the_user_is_though_one_category_has_all_the_best_scores():
    # Steck's example: 70 of 100 films seen are romance, 30 are action.
    romance, action = list(range(2, 22)), list(range(22, 42))
    categories = categories_of(*[[0]] * 20, *[[1]] * 20, num=2)
    pool = pool_of([(item, 100.0 - rank) for rank, item in enumerate(romance + action)])
    target = np.array([[0.7, 0.3]])
    listed = rows(calibrated(pool, categories, target, 0.99, 10))[0]
    assert sorted(listed) == romance[:7] + action[:3]
    assert rows(calibrated(pool, categories, target, 0.0, 10)) == [romance[:10]]


def test_an_item_without_category_leaves_the_mix_as_it_is():
    # Both are wanted alike. With 2 listed, 4 mends the mix, 6 leaves it, 3 (one item more of a) leaves it too.
    pool = pool_of([(2, 3.0), (3, 2.0), (6, 2.0), (4, 0.0)], [(2, 3.0), (6, 2.0), (3, 2.0), (4, 0.0)])
    target = np.array([[0.5, 0.5], [0.5, 0.5]])
    assert [listed[:2] for listed in rows(calibrated(pool, CATEGORIES, target, 0.9, 4))] == [[2, 4], [2, 4]]
    wanted = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert rows(calibrated(pool, CATEGORIES, wanted, 0.9, 4)) == [[2, 3, 6, 4], [2, 6, 3, 4]]


def test_without_a_mix_of_the_user_the_order_stays():
    lists = calibrated(pool_of(POOL), CATEGORIES, np.zeros((1, 2)), 1.0, 3)
    assert rows(lists) == [[2, 3, 4]]
    assert lists.scores.tolist() == [[11, 10, 5]]


def test_a_share_too_small_for_its_reciprocal_is_worth_nothing():
    target = np.array([[1.0, 5e-324]])
    assert rows(calibrated(pool_of(POOL), CATEGORIES, target, 1.0, 2)) == [[2, 3]]


def test_the_trade_off_0_gives_the_first_of_the_pool_with_their_scores():
    _, pools, target, categories = drawn(7)
    pool = pool_of(*pools)
    for lists in (mmr(pool, categories, 0.0, 4), calibrated(pool, categories, target, 0.0, 4)):
        assert lists.item_idx.tolist() == pool.item_idx[:, :4].tolist()
        assert lists.scores.tolist() == pool.scores[:, :4].tolist()


def large():
    rng = np.random.default_rng(5)
    own = [rng.permutation(40)[: rng.integers(0, 5)].tolist() for _ in range(500)]
    items = [rng.permutation(np.arange(2, 502))[:100] for _ in range(50)]
    scores = -np.sort(-rng.normal(size=(50, 100)), axis=1)
    num = rng.integers(60, 101, 50)
    is_in = np.arange(100) < num[:, None]
    pool = Lists(np.where(is_in, items, 0), np.where(is_in, scores, 0.0), num)
    return pool, categories_of(*own, num=40), rng.dirichlet(np.full(40, 0.2), 50)


def test_both_reach_their_aim_on_large_pools_and_scores_never_rise():
    pool, categories, target = large()
    likeness = 1 - diversity_at_k(pool.item_idx, 20, categories).mean()
    diverse = mmr(pool, categories, 0.5, 20)
    assert 1 - diversity_at_k(diverse.item_idx, 20, categories).mean() < likeness / 2
    own = [categories.codes[a:b].tolist() for a, b in pairwise(categories.starts)]
    mixed = calibrated(pool, categories, target, 0.5, 20)
    for user in range(50):
        before = divergence(pool.item_idx[user, :20].tolist(), own, target[user])
        assert divergence(mixed.item_idx[user].tolist(), own, target[user]) < before
    assert (np.diff(diverse.scores) <= 0).all()
    assert (np.diff(mixed.scores) <= 0).all()


def test_a_user_gets_the_same_bits_in_every_batch_and_a_shorter_list_is_the_start_of_a_longer():
    pool, categories, target = large()
    history = np.random.default_rng(6).integers(0, 510, (50, 30))
    weights = np.random.default_rng(7).random((50, 30))

    def everything(users, num_items):
        part = Lists(pool.item_idx[users], pool.scores[users], pool.num_items[users])
        diverse = mmr(part, categories, 0.4, num_items)
        mixed = calibrated(part, categories, target[users], 0.4, num_items)
        mix = user_mix(history[users], weights[users], categories)
        return [diverse.item_idx, diverse.scores, mixed.item_idx, mixed.scores, mix]

    everybody = everything(np.arange(50), 20)
    for user in (0, 17, 49):
        for one, together in zip(everything(np.array([user]), 20), everybody, strict=True):
            assert one[0].tolist() == together[user].tolist()
    backwards = everything(np.arange(50)[::-1], 20)
    assert all((a[::-1] == b).all() for a, b in zip(backwards, everybody, strict=True))
    for short, long in zip(everything(np.arange(50), 7)[:4], everybody, strict=False):
        assert short.tolist() == long[:, :7].tolist()


def test_nobody_no_pool_no_category_and_no_place():
    none = Categories(np.zeros(8, np.int64), np.zeros(0, np.int32), 0)
    for pool, expected in (
        (pool_of(width=3), []),
        (pool_of([], width=3), [[]]),
        (pool_of([], width=0), [[]]),
    ):
        num_users = len(pool.num_items)
        assert rows(mmr(pool, CATEGORIES, 0.5, 2)) == expected
        assert rows(calibrated(pool, CATEGORIES, np.full((num_users, 2), 0.5), 0.5, 2)) == expected
    assert rows(mmr(pool_of(POOL), none, 1.0, 2)) == [[2, 3]]
    assert rows(calibrated(pool_of(POOL), none, np.zeros((1, 0)), 1.0, 2)) == [[2, 3]]
    assert mmr(pool_of(POOL), CATEGORIES, 0.5, 0).item_idx.shape == (1, 0)
    assert user_mix(np.zeros((0, 4), int), np.zeros((0, 4)), CATEGORIES).shape == (0, 2)
    assert user_mix(np.array([[2]]), np.ones((1, 1)), none).shape == (1, 0)


def test_a_mix_spreads_the_weight_of_an_event_over_the_categories_of_its_item():
    history = np.array([[0, 0, 2, 5], [2, 2, 4, 6], [0, 1, 6, 99], [0, 0, 0, 4]])
    weights = np.array([[9.0, 9, 1, 2], [1, 2, 1, 5], [9, 9, 9, 9], [0, 0, 0, 0]])
    got = user_mix(history, weights, CATEGORIES)
    assert got.tolist() == [[2 / 3, 1 / 3], [0.75, 0.25], [0, 0], [0, 0]]


def test_what_does_not_fit_is_refused():
    pool, target = pool_of(POOL), np.full((1, 2), 0.5)
    for trade_off in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="expected 0 to 1"):
            mmr(pool, CATEGORIES, trade_off, 2)
        with pytest.raises(ValueError, match="expected 0 to 1"):
            calibrated(pool, CATEGORIES, target, trade_off, 2)
    for wrong in ([[0.5, 0.4]], [[1.5, -0.5]], [[math.nan, 0.5]]):
        with pytest.raises(ValueError, match="neither a mix"):
            calibrated(pool, CATEGORIES, np.array(wrong), 0.5, 2)
    with pytest.raises(ValueError, match=r"target: expected \(1, 2\), got \(1, 3\)"):
        calibrated(pool, CATEGORIES, np.full((1, 3), 1 / 3), 0.5, 2)
    with pytest.raises(ValueError, match="item_idx 7 is not among 7 items"):
        mmr(pool_of([(7, 1.0)]), CATEGORIES, 0.5, 2)
    with pytest.raises(ValueError, match="categories: starts, codes"):
        mmr(pool, CATEGORIES._replace(num=1), 0.5, 2)
    with pytest.raises(ValueError, match="differ in shape"):
        user_mix(np.array([[2, 3]]), np.ones((1, 1)), CATEGORIES)
    for weight in (-1.0, math.inf):
        with pytest.raises(ValueError, match="negative or not finite"):
            user_mix(np.array([[2]]), np.array([[weight]]), CATEGORIES)
