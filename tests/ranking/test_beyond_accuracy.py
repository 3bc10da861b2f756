import math

import numpy as np
import pytest

from recsys_spark.ranking import beyond_accuracy as beyond

LISTS = np.array([[2, 3, 4], [4, 2, 0], [5, 0, 0], [0, 0, 0]])
CATEGORIES = [[], [], ["a", "b"], ["b"], ["c"], []]


def test_coverage_counts_each_listed_item_once_among_those_that_could_be():
    assert beyond.coverage_at_k(LISTS, 3, 8) == 0.5
    assert beyond.coverage_at_k(LISTS, 1, 8) == 3 / 8
    assert beyond.coverage_at_k(LISTS, 3, 0) == 0


def test_novelty_is_bits_and_an_item_without_users_counts_as_one():
    got = beyond.novelty_at_k(LISTS, 3, np.array([0, 0, 8, 4, 1, 0]), 8)
    assert got.tolist() == [(0 + 1 + 3) / 3, 1.5, 3, 0]


def test_diversity_is_mean_distance_of_pairs_and_items_without_category_share_nothing():
    got = beyond.diversity_at_k(LISTS, 3, CATEGORIES)
    assert got == pytest.approx([(3 - 1 / math.sqrt(2)) / 3, 1, 0, 0], abs=1e-15)
    assert beyond.diversity_at_k(np.array([[5, 2]]), 2, CATEGORIES).tolist() == [1]


def test_popularity_share_is_over_filled_places():
    is_popular = np.array([False, False, True, False, False, True])
    got = beyond.popularity_share_at_k(LISTS, 3, is_popular)
    assert got.tolist() == [1 / 3, 1 / 2, 1, 0]
