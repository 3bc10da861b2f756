"""Vectors of items without a training event, from what their features say."""

import numpy as np

from recsys_spark.forms.item_tower import Columns, tower, vectors

COLUMNS = Columns(
    ["category:a", "category:b", "age_days", "price", "has_price"], [0, 0, 5, 10, 0], [1, 1, 2, 4, 1]
)
CONTENT = np.array([True, True, False, True, True])
FEATURES = np.array(
    [
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [1, 0, 1, 0.5, 1],
        [0, 1, -1, -1, 1],
        [1, 1, 0, 0, 0],
        [1, 0, 2, 2, 1],
    ],
    np.float32,
)
COUNTS = np.array([0, 0, 1, 1, 9, 50])
PROJECTION = np.arange(10, dtype=np.float32).reshape(5, 2)
EMBEDDING = np.array([[0, 0], [0, 0], [1, 2], [3, 4], [50, 50], [90, 90]], np.float32)
BIAS = np.array([0, 0, -1, -3, 5, 9], np.float32)
ITEM_VECTORS = np.concatenate([EMBEDDING + FEATURES @ PROJECTION, BIAS[:, None]], axis=1)
TOWER = tower(COLUMNS, CONTENT, FEATURES, COUNTS, ITEM_VECTORS, PROJECTION)


def test_an_unknown_id_has_what_the_rarest_items_have_beside_their_content_on_average():
    # Of items 2 and 3: embeddings (1, 2) and (3, 4), ages 1 and -1 cancel, biases -1 and -3.
    got, is_known = vectors(np.array([[0, 1, 0, 0, 0]], np.float32), COLUMNS, TOWER)
    np.testing.assert_allclose(got, [[2 + 2, 3 + 3, -2]], rtol=1e-6)
    assert is_known.tolist() == [True]


def test_an_item_of_which_nothing_is_known_is_told_apart():
    _, is_known = vectors(np.array([[0, 0, 7, 0, 0], [0, 0, 0, 1, 1]], np.float32), COLUMNS, TOWER)
    assert is_known.tolist() == [False, True]


def test_columns_go_by_name_and_numbers_by_value_within_what_was_learnt():
    later = Columns(["category:new", "has_price", "price", "category:b"], [0, 0, 20, 0], [1, 1, 10, 1])
    rows = np.array([[1, 1, -0.8, 1], [0, 1, 9, 0], [0, 0, 0, 1]], np.float32)  # prices 12, 110, none
    same = np.array(
        [[0, 1, 0, 0.5, 1], [0, 0, 0, 2, 1], [0, 1, 0, 0, 0]], np.float32
    )  # 12, 18 the dearest, none
    np.testing.assert_allclose(
        vectors(rows, later, TOWER)[0], vectors(same, COLUMNS, TOWER)[0], rtol=1e-5, atol=1e-6
    )
