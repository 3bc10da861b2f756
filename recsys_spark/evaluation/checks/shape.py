"""Rules on each list by itself, and on who has one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_spark.evaluation.checks.users import Array, Users, pairs


def broken_lists(users: Users, num_items: int) -> dict[str, int]:
    """By rule, the lists that break it.

    Args:
        num_items: N.
    """
    size, scores, reason = users.num_items, users.lists.field("scores"), users.lists.field("reason")
    has_reason, is_list = np.asarray(reason.is_valid()), size >= 0
    flags = {
        "list_missing": ~is_list,
        "list_too_long": size > num_items,
        "short_without_reason": is_list & (size < num_items) & ~has_reason,
        "full_with_reason": (size == num_items) & has_reason,
        "duplicate_item": is_list & (_num_distinct(users) < size),
        "uneven_columns": is_list & _is_uneven(users),
        "rising_score": _has_rising(scores, size),
        "bad_score": _has_bad(scores),
    }
    return {rule: int(np.count_nonzero(is_broken)) for rule, is_broken in flags.items()}


def broken_users(users: Users) -> dict[str, int]:
    """By rule, the users that break it. A list counts as its user's where the id is the same too."""
    ids = users.user_ids.take(pa.array(users.user_of))
    is_same = pc.fill_null(pc.equal(users.lists.field("user_id"), ids), False).to_numpy(zero_copy_only=False)
    num_lists = np.bincount(users.user_of[is_same], minlength=len(users.is_active))
    has_stray = np.bincount(users.user_of[~is_same], minlength=len(users.is_active)) > 0
    flags = {
        "active_user_without_list": users.is_active & (num_lists == 0),
        "list_of_inactive_user": has_stray | (~users.is_active & (num_lists > 0)),
        "duplicate_user": num_lists > 1,
    }
    return {rule: int(np.count_nonzero(is_broken)) for rule, is_broken in flags.items()}


def _num_distinct(users: Users) -> Array:
    """Distinct items [L]."""
    keys = np.unique(users.listed.row * 2**32 + users.listed.item_idx)
    return np.bincount(keys // 2**32, minlength=len(users.num_items))


def _is_uneven(users: Users) -> Array:
    """Whether a column has another number of elements than there are items, or reasons are not as many for each."""
    size, lists = users.num_items, users.lists
    num_scores = pc.list_value_length(lists.field("scores"))
    uneven = [_numbers(column) != size for column in (num_scores, lists.field("num_filled"))]
    reasons, scores = (_numbers(lists.field(name)) for name in ("num_reasons", "num_reason_scores"))
    is_one = reasons >= 0
    rest = np.where(size > 0, reasons % np.maximum(size, 1), reasons)
    return np.asarray(uneven[0] | uneven[1] | (reasons != scores) | (is_one & (rest > 0)))


def _has_rising(scores: pa.ListArray, size: Array) -> Array:
    """Whether a score [L] among those of the items is above the one before it."""
    row, values = pairs(scores)
    values = values.astype(np.float64)  # nulls are NaN, above nothing
    starts = np.cumsum(np.bincount(row, minlength=len(size))) - np.bincount(row, minlength=len(size))
    rank = np.arange(len(row)) - starts[row]
    rises = (row[1:] == row[:-1]) & (values[1:] > values[:-1]) & (rank[1:] < size[row[1:]])
    return np.bincount(row[1:][rises], minlength=len(size)) > 0


def _has_bad(scores: pa.ListArray) -> Array:
    row, values = pairs(scores)
    return np.bincount(row[np.isnan(values.astype(np.float64))], minlength=len(scores)) > 0


def _numbers(column: pa.Array) -> Array:
    return np.asarray(pc.fill_null(column, -1).to_numpy())
