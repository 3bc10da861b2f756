"""EASE against its closed form written out, on whole bags."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsys_spark.errors import SettingsError
from recsys_spark.forms.form import BAG, Eligible
from recsys_spark.models import ease
from recsys_spark.ranking.item_item import UserItems

COUNTS = np.array([0, 0, 3, 4, 0, 2, 5])  # item 4 was never trained on
SETTINGS = {"regularization": 2.0, "weight_power": 0.5, "memory_bytes": 1 << 20}
TRAINED = [2, 3, 5, 6]


def bags(rows: list[dict[int, float]]) -> UserItems:
    starts = np.cumsum([0, *map(len, rows)])
    pairs = [(item, weight) for row in rows for item, weight in sorted(row.items())]
    return UserItems(
        starts, np.array([i for i, _ in pairs], np.int32), np.array([w for _, w in pairs], np.float32), True
    )


USERS = [{2: 1, 3: 4, 99: 1}, {3: 9, 5: 1, 6: 1}, {2: 1, 6: 4}, {6: 16}, {}]


def dense(
    users: list[dict[int, float]] = USERS, power: float = 0.5, regularization: float = 2.0
) -> np.ndarray:
    x = np.array([[user.get(item, 0) ** power if item in user else 0 for item in TRAINED] for user in users])
    p = np.linalg.inv(x.T @ x + regularization * np.eye(4))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    return b


def fit(users: list[dict[int, float]] = USERS, **settings: Any) -> Any:
    return ease.fit(bags(users), COUNTS, {**SETTINGS, **settings})


def weights(form: Any) -> np.ndarray:
    return form.matrix.weights.reshape(7, 7)[np.ix_(TRAINED, TRAINED)]


@pytest.mark.parametrize(("power", "regularization"), [(0.5, 2.0), (1.0, 2.0), (0.0, 0.1)])
def test_the_weights_are_those_of_the_closed_form(power: float, regularization: float) -> None:
    got = weights(fit(weight_power=power, regularization=regularization))
    np.testing.assert_allclose(got, dense(USERS, power, regularization), rtol=1e-5, atol=1e-7)


def test_no_item_speaks_for_itself_and_untrained_ones_for_nobody() -> None:
    form = fit()
    whole = form.matrix.weights.reshape(7, 7)
    assert not np.diag(whole).any()
    assert not whole[[0, 1, 4]].any() and not whole[:, [0, 1, 4]].any()
    assert form.is_trained.tolist() == [False, False, True, True, False, True, True]


def test_a_user_is_scored_by_the_same_power_of_the_bags_weights() -> None:
    form, user = fit(), {2: 4.0, 5: 1.0}
    everything = Eligible(form.is_trained.astype(np.int32), np.array([[0.0, 1.0]]))
    best = form.ranking(everything)({BAG: bags([user])})(np.array([0]), np.array([0]), 4, None)
    scores = dict(zip(TRAINED, np.array([2.0, 0, 1.0, 0]) @ dense(), strict=True))
    expected = sorted(((s, i) for i, s in scores.items() if s > 0), key=lambda pair: (-pair[0], pair[1]))
    assert best.item_idx[0, : best.num_items[0]].tolist() == [item for _, item in expected]
    assert best.scores[0, : best.num_items[0]] == pytest.approx([score for score, _ in expected], rel=1e-5)


def test_the_order_of_users_decides_nothing_but_the_last_bit() -> None:
    np.testing.assert_allclose(weights(fit(USERS[::-1])), weights(fit()), rtol=1e-6)


def test_a_catalogue_whose_matrix_does_not_fit_is_refused_with_its_size() -> None:
    with pytest.raises(
        SettingsError, match=r"ease: 4 items with an event make matrices of 4 x 4 numbers, .* GiB"
    ):
        fit(memory_bytes=100)
