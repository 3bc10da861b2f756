"""What a user took before, the more often and the later the higher."""

from __future__ import annotations

import numpy as np

from recsys_spark.forms import form as forms
from recsys_spark.forms.form import Eligible
from recsys_spark.models import personal_frequency
from recsys_spark.ranking import left_out
from recsys_spark.ranking.item_item import UserItems

COUNTS = np.array([0, 0, 9, 1, 0, 2, 3])
NOBODY = UserItems(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), True)
DAY = 86_400
FORM = personal_frequency.fit(NOBODY, COUNTS, {"half_life_days": 1.0})
ALL = Eligible(FORM.is_trained.astype(np.int32), np.array([[0.0, 1.0]]))
USERS = {
    "items": np.array([[3, 2, 3, 5], [0, 0, 0, 0], [6, 4, 1, 6]]),  # 4 was never trained on, 1 is unknown
    "gaps": np.array([[0, DAY, 0, DAY], [0, 0, 0, 0], [0, 0, 0, DAY // 2]]),
}


def test_an_item_scores_the_sum_of_its_events_halved_by_age() -> None:
    rows = np.arange(forms.num_users(USERS))
    best = FORM.ranking(ALL)(USERS)(rows, np.zeros(3, int), 3, None)
    assert best.item_idx.tolist() == [[5, 3, 2], [0, 0, 0], [6, 0, 0]]
    np.testing.assert_allclose(best.scores[0], [1, 0.25 + 0.5, 0.5])
    np.testing.assert_allclose(best.scores[2, 0], 1 + 0.5**0.5)


def test_the_reason_for_an_item_is_the_item_itself_with_its_whole_score() -> None:
    rows, group = np.arange(3), np.zeros(3, int)
    best = FORM.ranking(ALL)(USERS)(rows, group, 3, None)
    reasons = FORM.explaining(ALL, 2, False)(USERS, group, left_out.NONE, best)
    assert reasons.item_idx[0].tolist() == [[5, 0], [3, 0], [2, 0]]
    np.testing.assert_allclose(reasons.scores[:, :, 0], best.scores)
