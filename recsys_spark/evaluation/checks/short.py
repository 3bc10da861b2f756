"""A list may be short only when nothing is left that its user may get."""

from __future__ import annotations

import numpy as np

from recsys_spark.evaluation.checks.eligible import may_get, num_eligible
from recsys_spark.evaluation.checks.groups import num_of_groups
from recsys_spark.evaluation.checks.items import Flags, Groups, Items
from recsys_spark.evaluation.checks.listed import keys
from recsys_spark.evaluation.checks.users import Array, Pairs, Users

SAMPLED_LISTS = 1000  # short lists under caps that are looked at item by item


def num_short(users: Users, num_items: int) -> int:
    """The lists with fewer than N items."""
    return len(_short(users, num_items))


def short_without_cause(users: Users, items: Items, num_items: int) -> int:
    """The lists that could be longer: a used item that the user may get is neither left out nor listed."""
    short = _short(users, num_items)
    left = num_left(users, items, users.user_of[short], _fills(items))
    return int(np.count_nonzero(users.num_items[short] < np.minimum(left, num_items)))


def short_without_full_groups(users: Users, items: Items, num_items: int, caps: tuple[int, int]) -> int:
    """The same under caps, for a few users: each item that could be added must be of a group that is full.

    Args:
        caps: of a category, and of a seller.
    """
    return sum(_has_room(users, items, row, caps) for row in _short(users, num_items))


def num_left(users: Users, items: Items, rows: Array, is_wanted: Flags) -> Array:
    """How many of the wanted items [V] each user may get and no rule leaves out, one number for each of `rows`."""
    gone = _left_out(users, rows)
    item_idx = items.facts_of(gone.item_idx)
    is_gone = is_wanted[item_idx] & may_get(users, items, gone.row, item_idx)
    num_gone = np.bincount(gone.row[is_gone], minlength=len(users.ages))
    return num_eligible(users, items, rows, is_wanted) - num_gone[rows]


def _short(users: Users, num_items: int) -> Array:
    return np.flatnonzero((users.num_items >= 0) & (users.num_items < num_items))


def _fills(items: Items) -> Flags:
    """What a fallback fills lists with."""
    return items.is_available & items.is_used & ~items.is_blocked


def _left_out(users: Users, rows: Array) -> Pairs:
    """The distinct items that any rule keeps from these users."""
    is_one = np.zeros(len(users.ages), np.bool_)
    is_one[rows] = True
    every = [keys(Pairs(pairs.row[is_one[pairs.row]], pairs.item_idx[is_one[pairs.row]]))
             for pairs in users.left_out.values()]  # fmt: skip
    distinct = np.unique(np.concatenate([np.zeros(0, np.int64), *every]))
    return Pairs(distinct // 2**32, distinct % 2**32)


def _has_room(users: Users, items: Items, row: int, caps: tuple[int, int]) -> bool:
    user = users.user_of[row]
    listed = users.listed.item_idx[users.listed.row == row]
    could = _fills(items)
    could[items.facts_of(listed)] = False
    for pairs in users.left_out.values():
        could[items.facts_of(pairs.item_idx[pairs.row == user])] = False
    for cap, groups in zip(caps, (items.categories, items.sellers), strict=True):
        if cap:
            could &= ~_is_of_full_group(items.facts_of(listed), groups, cap)
    item_idx = np.flatnonzero(could)
    return bool(may_get(users, items, np.full(len(item_idx), user), item_idx).any())


def _is_of_full_group(listed: Array, groups: Groups, cap: int) -> Flags:
    counted = num_of_groups(Pairs(np.zeros(len(listed), np.int64), listed), groups)
    is_full = np.zeros(groups.num, np.bool_)
    is_full[counted.group[counted.num_items >= cap]] = True
    item_of = np.repeat(np.arange(len(groups.starts) - 1), np.diff(groups.starts))
    return np.bincount(item_of[is_full[groups.codes]], minlength=len(groups.starts) - 1) > 0
