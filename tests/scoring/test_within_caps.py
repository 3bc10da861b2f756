"""Lists within caps against the walk through each whole ranking."""

from collections import Counter

import numpy as np
import pytest

from recsys_spark.ranking.beyond_accuracy import Categories
from recsys_spark.ranking.caps import caps
from recsys_spark.ranking.top_n import Lists
from recsys_spark.scoring import within_caps as module
from recsys_spark.scoring.within_caps import within_caps

V = 62


def capped_by(of_item, num_groups, most):
    starts = np.append(0, np.cumsum([len(groups) for groups in of_item]))
    codes = np.array([group for groups in of_item for group in groups], np.int32)
    return caps([(Categories(starts, codes, num_groups), most)])


def ranked_by(rankings, asked):
    """A `rank` over whole rankings; notes how many items it was asked for."""

    def rank(rows, size, closed):
        asked.append(size)
        gone = set(zip(*(part.tolist() for part in closed), strict=True))
        lists = Lists(
            np.zeros((len(rows), size), np.int64), np.zeros((len(rows), size)), np.zeros(len(rows), np.int64)
        )
        for place, row in enumerate(rows):
            left = [item for item in rankings[row] if (place, item) not in gone][:size]
            lists.item_idx[place, : len(left)] = left
            lists.scores[place, : len(left)] = [-rankings[row].index(item) for item in left]
            lists.num_items[place] = len(left)
        return lists

    return rank


def greedy(ranking, of_item, most, held, wanted):
    used = Counter(group for item in held if item for group in of_item[item])
    kept = []
    for item in ranking:
        if len(kept) < wanted and item not in held and all(used[group] < most for group in of_item[item]):
            kept.append(item)
            used.update(of_item[item])
    return kept


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("at_a_time", [1, V, 3 * V, 1 << 20])
def test_lists_within_caps_are_the_walk_through_the_whole_ranking(seed, at_a_time, monkeypatch):
    monkeypatch.setattr(module, "CLOSED_PAIRS", at_a_time)
    rng = np.random.default_rng(seed)
    num_users, num_items, most = 7, 8, int(rng.integers(1, 4))
    num_groups = int(rng.integers(1, 9))  # few of them leave lists short
    sizes = rng.choice([0, 1, 1, 1, 1, 1, 1, 2], V - 2)
    of_item = [[], [], *(rng.permutation(num_groups)[:size].tolist() for size in sizes)]
    rankings = [rng.permutation(np.arange(2, V))[: rng.integers(3, V)].tolist() for _ in range(num_users)]
    rankings[0] = sorted(rankings[0], key=lambda item: of_item[item])  # one group after the other
    held = rng.integers(2, V, (num_users, 2)) * (rng.random((num_users, 2)) < 0.5)
    wanted = rng.integers(0, num_items + 1, num_users)
    asked = []
    lists, is_capped = within_caps(
        ranked_by(rankings, asked), wanted, num_items, 10,
        capped_by(of_item, num_groups, most), held,
    )  # fmt: skip
    expected = [
        greedy(ranking, of_item, most, user.tolist(), number)
        for ranking, user, number in zip(rankings, held, wanted, strict=True)
    ]
    got = [row[:num].tolist() for row, num in zip(lists.item_idx, lists.num_items, strict=True)]
    assert got == expected
    assert set(asked) == {10}
    for ranking, items, scores in zip(rankings, got, lists.scores, strict=True):
        assert scores[: len(items)].tolist() == [-ranking.index(item) for item in items]
        assert not scores[len(items) :].any()
    for user, items in enumerate(got):
        others = set(rankings[user]) - set(items) - set(held[user].tolist())
        if len(items) < wanted[user] and others:  # only caps can have kept these out
            assert is_capped[user]


def test_what_an_earlier_pool_gave_counts_in_the_next():
    first, second, third = (
        range(2, 11),
        range(11, 17),
        range(17, 22),
    )  # nine of one group, six and five of others
    of_item = [[], [], *([0] for _ in first), *([1] for _ in second), *([2] for _ in third)]
    ranking, asked = [*first, *second, *third], []
    lists, _ = within_caps(ranked_by([ranking], asked), np.array([6]), 6, 10, capped_by(of_item, 3, 2))
    assert lists.item_idx.tolist() == [[2, 3, 11, 12, 17, 18]]
    assert asked == [10, 10]  # the first pool ends within the second group


def test_re_ordering_chooses_among_what_the_caps_leave_of_the_pools():
    of_item = [[], [], *([item % 2] for item in range(2, V))]  # even before odd
    ranking = sorted(range(2, V), key=lambda item: (item % 2, item))

    def backwards(rows, pool):
        assert len(rows) == len(pool.num_items) == 1
        kept = pool.item_idx[0, : pool.num_items[0]][::-1][:4]
        return Lists(kept[None, :], np.arange(4.0)[None, ::-1], np.array([len(kept)]))

    capped_to = capped_by(of_item, 2, 3)
    asked = []
    lists, is_capped = within_caps(
        ranked_by([ranking], asked), np.array([4]), 4, 6, capped_to, reorder=backwards
    )
    assert lists.item_idx.tolist() == [[3, 6, 4, 2]]  # 2, 4, 6, the pool; then 3, the one that was missing
    assert is_capped.tolist() == [True] and asked == [6, 6]
