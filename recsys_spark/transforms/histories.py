"""What each user did last, and all that each user has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from recsys_spark import tables
from recsys_spark.transforms.arrow_lists import EVENT_COLUMNS, event_lists, instants, lists
from recsys_spark.transforms.user_items import user_items
from recsys_spark.transforms.whole_users import Reading, Timelines


def histories(timelines: DataFrame, cuts: Sequence[str], length: int) -> Reading:
    """The last `length` recent events of each user and cut: HISTORIES without its run_date."""

    def make(users: Timelines) -> Iterator[pa.RecordBatch]:
        for cut in cuts:
            num = np.minimum(users.num_recent(cut), length)
            has = np.flatnonzero(num)
            num, newest = num[has], (users.offsets[:-1] + users.seen_from[cut])[has]
            at = users.of["event_at"]
            columns = {
                "user_idx": pa.array(users.user_idx[has]),
                **event_lists(users, newest, num, length),
                "num_events": pa.array(num.astype(np.int32)),
                "first_at": instants(at[newest + num - 1]),
                "last_at": instants(at[newest]),
                "cut": pa.repeat(cut, len(has)),
            }
            yield pa.RecordBatch.from_pydict(columns)

    return Reading(timelines, EVENT_COLUMNS, make, tables.HISTORIES)


def seen_items(timelines: DataFrame, cuts: Sequence[str]) -> Reading:
    """Every distinct item of each user and cut: SEEN_ITEMS without its run_date."""

    def make(users: Timelines) -> Iterator[pa.RecordBatch]:
        ever = user_items(users, np.arange(users.offsets[-1]))
        for cut in cuts:
            is_seen = ever.oldest >= (users.offsets[:-1] + users.seen_from[cut])[ever.user]
            num = np.bincount(ever.user[is_seen], minlength=len(users.user_idx))
            has = np.flatnonzero(num)
            columns = {
                "user_idx": pa.array(users.user_idx[has]),
                "items": lists(num[has], ever.item_idx[is_seen].astype(np.int32)),
                "cut": pa.repeat(cut, len(has)),
            }
            yield pa.RecordBatch.from_pydict(columns)

    return Reading(timelines, ["item_idx"], make, tables.SEEN_ITEMS)
