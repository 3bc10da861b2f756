"""Users of one Arrow batch as forms take them. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from recsys_spark.forms import form as forms
from recsys_spark.forms.form import BAG, HISTORY, Users
from recsys_spark.ranking.item_item import UserItems
from recsys_spark.scoring import columns
from recsys_spark.scoring.user_rows import BAG_COLUMNS


def users_of(batch: pa.RecordBatch, vocabulary: int) -> Users | None:
    """What a form reads of users, from the columns of `user_rows.with_history` that are there; None: nobody has any.

    Args:
        vocabulary: V; items numbered V or above become unknown.
    """
    names, users = batch.schema.names, dict[str, Any]()
    has_bags = BAG_COLUMNS[0] in names
    length = max(columns.longest(batch["items"]), has_bags) if "items" in names else 0
    if length:
        users = {name: columns.matrix(batch[name], length) for name in HISTORY if name in names}
        users["items"] = forms.only_known(users["items"], vocabulary)
    if has_bags:
        items, weights = (batch[name] for name in BAG_COLUMNS)
        starts = np.concatenate([[0], np.cumsum(columns.lengths(items))])
        users[BAG] = UserItems(
            starts,
            forms.only_known(items.flatten().to_numpy(), vocabulary),
            weights.flatten().to_numpy(),
            True,
        )
    return users or None
