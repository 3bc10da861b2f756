"""What each user did last, and everything each user has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from recsys_spark import tables
from recsys_spark.transforms.padding import EVENT_COLUMNS, event_lists, instants, lists
from recsys_spark.transforms.pairs import pairs
from recsys_spark.transforms.timelines import Timelines, read_off, rows_of


def histories(timelines: DataFrame, cuts: Sequence[str], length: int) -> DataFrame:
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

    return read_off(timelines, EVENT_COLUMNS, make, rows_of(tables.HISTORIES))


def seen_items(timelines: DataFrame, cuts: Sequence[str]) -> DataFrame:
    """Every distinct item of each user and cut: SEEN_ITEMS without its run_date."""

    def make(users: Timelines) -> Iterator[pa.RecordBatch]:
        ever = pairs(users, np.arange(users.offsets[-1]))
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

    return read_off(timelines, ["item_idx"], make, rows_of(tables.SEEN_ITEMS))
