"""Merged rankings against sums worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_spark.ranking.merging import merge, summed
from recsys_spark.ranking.top_n import Lists


def lists(*rows: list[tuple[int, float]], width: int = 3) -> Lists:
    item_idx, scores = np.zeros((len(rows), width), int), np.zeros((len(rows), width))
    for row, listed in enumerate(rows):
        for rank, (item, score) in enumerate(listed):
            item_idx[row, rank], scores[row, rank] = item, score
    return Lists(item_idx, scores, np.array([len(row) for row in rows]))


def as_rows(ranked: Lists) -> list[list[tuple[int, float]]]:
    assert not ranked.item_idx[np.arange(ranked.item_idx.shape[1]) >= ranked.num_items[:, None]].any()
    return [
        [(int(item), float(score)) for item, score in zip(items[:num], scores[:num], strict=True)]
        for items, scores, num in zip(ranked.item_idx, ranked.scores, ranked.num_items, strict=True)
    ]


def test_by_ranks_an_item_gets_of_each_member_its_weight_over_60_and_the_rank() -> None:
    one, other = lists([(7, 9.0), (5, 2.0), (3, 1.0)]), lists([(5, 0.5), (8, 0.25)])
    [got] = as_rows(merge([one, other], (1.0, 0.5), "ranks"))
    expected = {5: 1 / 62 + 0.5 / 61, 7: 1 / 61, 3: 1 / 63, 8: 0.5 / 62}
    assert [item for item, _ in got] == [5, 7, 3, 8]
    assert [score for _, score in got] == pytest.approx([expected[item] for item, _ in got])


def test_by_scores_the_best_gets_1_the_last_nominated_0_and_equal_ones_1_each() -> None:
    one, other = lists([(7, 9.0), (5, 3.0), (3, 1.0)]), lists([(5, 0.5), (8, 0.5)])
    [got] = as_rows(merge([one, other], (2.0, 0.5), "scores"))
    assert got == [(7, 2.0), (5, 2 * 0.25 + 0.5), (8, 0.5), (3, 0.0)]


def test_equal_points_stand_by_item_idx_and_empty_rankings_give_nothing() -> None:
    one, other = lists([(9, 1.0)], [(4, 1.0)], []), lists([(2, 7.0)], [], [])
    assert as_rows(merge([one, other], (1.0, 1.0), "scores")) == [
        [(2, 1.0), (9, 1.0)], [(4, 1.0)], []
    ]  # fmt: skip


def test_an_item_that_stands_several_times_is_there_once_with_the_sum() -> None:
    rng = np.random.default_rng(5)
    item_idx, scores = rng.integers(0, 9, (6, 20)), 2.0 ** -rng.integers(1, 5, (6, 20))
    expected = []
    for items, values in zip(item_idx.tolist(), scores.tolist(), strict=True):
        total = {
            item: sum(v for i, v in zip(items, values, strict=True) if i == item) for item in set(items) - {0}
        }
        expected.append(sorted(total.items(), key=lambda pair: (-pair[1], pair[0])))
    assert as_rows(summed(item_idx, scores)) == expected
