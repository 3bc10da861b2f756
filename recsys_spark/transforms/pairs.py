"""Distinct items of users."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys_spark.transforms.timelines import Ints, Timelines


class Pairs(NamedTuple):
    """P distinct pairs of user and item, by user and then by item_idx.

    user: [P], place of the user.
    item_idx: [P].
    newest, oldest: [P], places in the N of the pair's newest and oldest event.
    of_event: the pair of each event given; the events are those at `events`.
    """

    user: Ints
    item_idx: Ints
    newest: Ints
    oldest: Ints
    of_event: Ints
    events: Ints


def pairs(timelines: Timelines, events: Ints) -> Pairs:
    """The pairs of some events, by their places in the N, which must ascend."""
    users = timelines.users()[events]
    key = (users << 32) | timelines.of["item_idx"][events]
    order = np.argsort(key, kind="stable")  # equal pairs stay newest first
    key, events = key[order], events[order]
    is_first = np.r_[True, key[1:] != key[:-1]][: len(key)]
    first = np.flatnonzero(is_first)
    last = np.r_[first[1:], len(key)][: len(first)] - 1
    return Pairs(
        key[first] >> 32,
        key[first] & 0xFFFFFFFF,
        events[first],
        events[last],
        np.cumsum(is_first) - 1,
        events,
    )
