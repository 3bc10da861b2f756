"""The last ranks of each list, kept for items with few events."""

from __future__ import annotations

import numpy as np

from recsys_spark.evaluation.checks.items import Items
from recsys_spark.evaluation.checks.short import num_left
from recsys_spark.evaluation.checks.users import Users


def broken_quota(
    users: Users, items: Items, num_new_items: int, new_item_events: int, has_caps: bool
) -> dict[str, int]:
    """By rule, the lists with too many new items, or too few though some are left, and new items that are none.

    Args:
        has_caps: they may be why there are fewer: then this is not counted.
    """
    num_new = users.lists.field("num_new").to_numpy()
    is_new = items.is_known & (items.num_events <= new_item_events)
    row, item_idx = users.listed.row, items.facts_of(users.listed.item_idx)
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    is_placed_as_new = rank >= (users.num_items - num_new)[row]
    few = np.flatnonzero(num_new < (0 if has_caps else num_new_items))
    left = num_left(users, items, users.user_of[few], items.is_available & ~items.is_blocked & is_new)
    return {
        "too_many_new_items": int(np.count_nonzero((num_new > 0) & (num_new > num_new_items))),
        "old_new_item": int(
            np.count_nonzero(is_placed_as_new & items.is_known[item_idx] & ~is_new[item_idx])
        ),
        "too_few_new_items": int(np.count_nonzero(num_new[few] < np.minimum(left, num_new_items))),
    }
