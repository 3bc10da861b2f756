import math

import numpy as np
import pytest

from recsys_spark.ranking import beyond_accuracy as beyond

LISTS = np.array([[2, 3, 4], [4, 2, 0], [5, 0, 0], [0, 0, 0]])
# Items 2 to 5 have the categories a and b, b, c, none.
CATEGORIES = beyond.Categories(np.array([0, 0, 0, 2, 3, 4, 4]), np.array([0, 1, 1, 2], np.int32), 3)


def test_coverage_counts_each_listed_item_once_among_those_that_could_be():
    assert beyond.coverage_at_k(LISTS, 3, 8) == 0.5
    assert beyond.coverage_at_k(LISTS, 1, 8) == 3 / 8
    assert beyond.coverage_at_k(LISTS, 3, 0) == 0


def test_novelty_is_bits_and_an_item_without_users_counts_as_one():
    bits = beyond.self_information(np.array([0, 0, 8, 4, 1, 0]), 8)
    got = beyond.novelty_at_k(LISTS, 3, bits)
    assert got.tolist() == [(0 + 1 + 3) / 3, 1.5, 3, 0]


def test_diversity_is_mean_distance_of_pairs_and_items_without_category_share_nothing():
    got = beyond.diversity_at_k(LISTS, 3, CATEGORIES)
    assert got == pytest.approx([(3 - 1 / math.sqrt(2)) / 3, 1, 0, 0], abs=1e-15)
    assert beyond.diversity_at_k(np.array([[5, 2]]), 2, CATEGORIES).tolist() == [1]


def drawn(num_categories, num_items=300):
    rng = np.random.default_rng(2)
    sizes = np.append([0, 0], rng.integers(0, 5, num_items))
    codes = [rng.permutation(num_categories)[:size] for size in sizes]
    return codes, beyond.Categories(np.append(0, np.cumsum(sizes)), np.concatenate(codes), num_categories)


@pytest.mark.parametrize("num_categories", [5, 40_000])
def test_diversity_equals_the_sum_over_pairs_and_has_the_same_bits_in_every_batch(num_categories):
    codes, categories = drawn(num_categories)
    rng = np.random.default_rng(3)
    lists = np.array([rng.permutation(np.arange(2, 302))[:30] for _ in range(70)])
    indicators = np.zeros((302, num_categories))
    for item, own in enumerate(codes):
        indicators[item, own] = 1 / np.sqrt(max(len(own), 1))
    expected = []
    for listed in lists:
        cosines = indicators[listed] @ indicators[listed].T
        expected.append(1 - cosines[np.triu_indices(30, 1)].mean())
    got = beyond.diversity_at_k(lists, 30, categories)
    assert got == pytest.approx(expected, abs=1e-12)
    alone = [beyond.diversity_at_k(lists[row : row + 1], 30, categories)[0] for row in range(70)]
    assert alone == got.tolist()


def test_a_list_of_one_kind_has_no_diversity_and_a_catalogue_without_categories_all_of_it():
    same = beyond.Categories(np.array([0, 0, 0, 3, 6, 9]), np.array([0, 1, 2] * 3, np.int32), 3)
    assert beyond.diversity_at_k(np.array([[2, 3, 4]]), 3, same) == pytest.approx([0], abs=1e-15)
    none = beyond.Categories(np.zeros(6, np.int64), np.zeros(0, np.int32), 0)
    assert beyond.diversity_at_k(np.array([[2, 3, 4], [2, 0, 0]]), 3, none).tolist() == [1, 0]
    assert beyond.diversity_at_k(np.zeros((0, 3), np.int64), 3, none).tolist() == []


def test_popularity_share_is_over_filled_places():
    is_popular = np.array([False, False, True, False, False, True])
    got = beyond.popularity_share_at_k(LISTS, 3, is_popular)
    assert got.tolist() == [1 / 3, 1 / 2, 1, 0]
