"""Every split of the project: which events a model may learn from, and what it is then asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from recsys_spark import tables
from recsys_spark.errors import SettingsError
from recsys_spark.transforms.arrow_lists import lists
from recsys_spark.transforms.timelines import num_newer
from recsys_spark.transforms.user_items import user_items
from recsys_spark.transforms.whole_users import Ints, Reading, Timelines


class Split(NamedTuple):
    """How a night divides the events.

    Attributes:
        run_date: the last day of the data.
        kind: time | leave_last_out.
        valid_days: length of the validation window (time).
        test_days: length of the test window (time).
    """

    run_date: dt.date
    kind: str
    valid_days: int
    test_days: int

    def seen_from(self, at: Ints, offsets: Ints) -> dict[str, Ints]:
        """By cut, how many of each user's newest events it does not see: the test ones, and the valid ones before them.

        `time`: the last `test_days` days are test, the `valid_days` before them valid, the rest train. With run
        date 2024-05-31, valid_days 7 and test_days 7:

            train   before 2024-05-18 00:00
            valid   from   2024-05-18 00:00 to before 2024-05-25 00:00
            test    from   2024-05-25 00:00 to before 2024-06-01 00:00

        Events of one user at one instant are never divided.

        `leave_last_out`: a user's last event is test, the one before it valid; users with fewer than 3 events are
        all train. Events at one instant are divided by the hash of user and item, never by item number.

        Args:
            at: [N], microseconds of events, newest first within a user.
            offsets: [U + 1], where in the N each user's newest event is.
        """
        ends = cut_ends(self)
        if self.kind == "time":
            hidden = {cut: num_newer(at, offsets, ends[cut]) for cut in ("valid", "test")}
        else:
            has_three = np.diff(offsets) >= 3
            hidden = {"valid": np.where(has_three, 2, 0), "test": np.where(has_three, 1, 0)}
        return {**hidden, "night": np.zeros(len(offsets) - 1, np.int64)}


def cut_ends(split: Split) -> dict[str, dt.datetime]:
    """The exclusive instant at which each cut ends: the "now" of ages and recency.

    leave_last_out has no such instant, every user ends elsewhere: all cuts then end with the run date.

    Raises:
        SettingsError: the kind is neither time nor leave_last_out.
    """
    if split.kind not in ("time", "leave_last_out"):
        raise SettingsError(f"setting split.kind: expected time or leave_last_out, got {split.kind!r}")
    night = dt.datetime.combine(split.run_date, dt.time(), tzinfo=dt.UTC) + dt.timedelta(days=1)
    if split.kind != "time":
        return dict.fromkeys(tables.CUTS, night)
    test = night - dt.timedelta(days=split.test_days)
    return {"valid": test - dt.timedelta(days=split.valid_days), "test": test, "night": night}


def truth(timelines: DataFrame, repeats_allowed: bool) -> Reading:
    """What users with an earlier event did next: TRUTH without its run_date.

    Cut valid asks for the items of the validation window by users with a train event; cut test for those of the
    test window by users with a train or valid event. Items come by first event in the window. A user whose
    every item was seen before has nothing to be asked and gets no row, unless repeats are allowed.
    """

    def make(users: Timelines) -> Iterator[pa.RecordBatch]:
        nth, num = users.nth(), users.num_events()
        for cut, next_cut in (("valid", "test"), ("test", "night")):
            start, end = users.seen_from[next_cut], users.seen_from[cut]
            is_asked = nth >= np.repeat(start, num)
            if repeats_allowed:
                is_asked &= nth < np.repeat(end, num)
            asked = user_items(users, np.flatnonzero(is_asked))
            is_truth = asked.oldest < (users.offsets[:-1] + end)[asked.user]
            is_truth &= (num > end)[asked.user]
            order = np.lexsort((-asked.oldest[is_truth], asked.user[is_truth]))
            num_items = np.bincount(asked.user[is_truth], minlength=len(num))
            has = np.flatnonzero(num_items)
            columns = {
                "user_idx": pa.array(users.user_idx[has]),
                "items": lists(num_items[has], asked.item_idx[is_truth][order].astype(np.int32)),
                "cut": pa.repeat(cut, len(has)),
            }
            yield pa.RecordBatch.from_pydict(columns)

    return Reading(timelines, ["item_idx"], make, tables.TRUTH)
