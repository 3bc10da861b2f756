"""Distinct items of users."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys_spark.transforms.whole_users import Ints, Timelines


class UserItems(NamedTuple):
    """P distinct items of users, by user and then by item_idx.

    user: [P], which of the U users.
    item_idx: [P].
    newest, oldest: [P], where in the N the newest and the oldest event of the user with the item are.
    of_event: which of the P each event given belongs to; the events are those at `events`.
    """

    user: Ints
    item_idx: Ints
    newest: Ints
    oldest: Ints
    of_event: Ints
    events: Ints


def user_items(timelines: Timelines, events: Ints) -> UserItems:
    """The distinct items of some events, which are named by where in the N they are, ascending."""
    users = timelines.users()[events]
    key = (users << 32) | timelines.of["item_idx"][events]
    order = np.argsort(key, kind="stable")  # events with one item stay newest first
    key, events = key[order], events[order]
    is_first = np.r_[True, key[1:] != key[:-1]][: len(key)]
    first = np.flatnonzero(is_first)
    last = np.r_[first[1:], len(key)][: len(first)] - 1
    return UserItems(
        key[first] >> 32,
        key[first] & 0xFFFFFFFF,
        events[first],
        events[last],
        np.cumsum(is_first) - 1,
        events,
    )
