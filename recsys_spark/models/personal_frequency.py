"""`personal_frequency`: what this user took before, the more often and the later the higher.

`score(u, j) = sum over the user's events of item j of 0.5^(age / half_life_days)`, ages counted from the user's
newest event: W is the identity. For recommend.repeats: allowed; a list of what nobody may get again would be empty.

Source: P-TopFreq of Li et al. 2023, "A Next Basket Recommendation Reality Check". Differs: events decay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.forms.item_item import ItemItem, Weighing
from recsys_spark.ranking.item_item import ItemWeights, UserItems


def fit(bags: UserItems, item_counts: NDArray[np.int64], settings: Mapping[str, Any]) -> ItemItem:
    """Nothing is learnt: a user's list is made of that user's history.

    Args:
        bags: of nobody.
        item_counts: [V], training events of each item.
        settings: section `personal_frequency`.
    """
    items = np.flatnonzero(item_counts > 0)
    starts = np.concatenate([[0], np.cumsum(item_counts > 0)]).astype(np.int64)
    matrix = ItemWeights(starts, items.astype(np.int32), np.ones(len(items), np.float32))
    return ItemItem(matrix, item_counts > 0, Weighing("age", 0.5 ** (1 / settings["half_life_days"])))
