"""Rules on each item of a list: is it one, and may its user get it."""

from __future__ import annotations

import numpy as np

from recsys_spark.evaluation.checks.eligible import may_get
from recsys_spark.evaluation.checks.items import Items
from recsys_spark.evaluation.checks.users import Array, Pairs, Users


def broken_items(users: Users, items: Items) -> dict[str, int]:
    """By rule, how many items of how many lists break it."""
    row, item_idx = users.user_of[users.listed.row], items.facts_of(users.listed.item_idx)
    is_known = items.is_known[item_idx]
    flags = {
        "unknown_item": ~is_known,
        "unavailable_item": is_known & ~items.is_available[item_idx],
        "ineligible_item": is_known & ~may_get(users, items, row, item_idx),
        "blocked_item": items.is_blocked[item_idx],
    }
    listed = np.unique(keys(users.listed))
    again = Pairs(users.user_of[listed // 2**32], listed % 2**32)
    kept_from = {rule: is_among(again, pairs) for rule, pairs in users.left_out.items()}
    return {rule: int(np.count_nonzero(is_broken)) for rule, is_broken in (flags | kept_from).items()}


def is_among(these: Pairs, those: Pairs) -> Array:
    """Whether each of these (row, item) stands among those."""
    return np.isin(keys(these), keys(those))


def keys(pairs: Pairs) -> Array:
    """One number a (row, item)."""
    return np.asarray(pairs.row * 2**32 + pairs.item_idx)
