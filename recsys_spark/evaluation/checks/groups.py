"""The caps of categories and sellers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys_spark.evaluation.checks.items import Groups, Items
from recsys_spark.evaluation.checks.users import Array, Pairs, Users


class Counted(NamedTuple):
    """How many items [P] of a group a list holds."""

    row: Array
    group: Array
    num_items: Array


def broken_caps(users: Users, items: Items, max_per_category: int, max_per_seller: int) -> dict[str, int]:
    """By rule, the groups of which a list holds too many items, counted once a list; a cap of 0 is none."""
    caps = {
        "too_many_of_category": (items.categories, max_per_category),
        "too_many_of_seller": (items.sellers, max_per_seller),
    }
    listed = Pairs(users.listed.row, items.facts_of(users.listed.item_idx))
    return {
        rule: int(np.count_nonzero(num_of_groups(listed, groups).num_items > cap)) if cap else 0
        for rule, (groups, cap) in caps.items()
    }


def num_of_groups(listed: Pairs, groups: Groups) -> Counted:
    """The groups of each list, and how many of its items they have."""
    first = groups.starts[listed.item_idx]
    num = groups.starts[listed.item_idx + 1] - first
    within = np.arange(num.sum()) - np.repeat(np.cumsum(num) - num, num)
    group = groups.codes[np.repeat(first, num) + within].astype(np.int64)
    keys, num_items = np.unique(np.repeat(listed.row, num) * 2**32 + group, return_counts=True)
    return Counted(keys // 2**32, keys % 2**32, num_items)
