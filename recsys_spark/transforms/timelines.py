"""Timelines: each user's events as arrays, newest first, of which every table of users and events is made.

Spark sorts the events once. NumPy then makes a table in one pass over whole users: what a cut sees of a user, and
what of that lies in the history window, are slices of its arrays. The frame has one row a user and piece of at
most 8,192 events, a user's pieces one after the other:

`user_idx`      users come in the order of a hash, so that neighbours in a file have nothing in common
`segment`       of the user, '' when it is in none
`seen_from`     by cut, as in `tables.CUTS`: how many of the user's newest events the cut does not see
`recent_until`  by cut: from which event on the user's events are older than the history window
`item_idx`, `event_at` (microseconds UTC), `type`, `value` (NaN where there is none), `weight`, `active_days`
                of each event
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys_spark.python_tasks import through_python
from recsys_spark.tables import CUTS
from recsys_spark.transforms.whole_users import USER, Ints, first_rows, whole_users

CutEnds = Mapping[str, dt.datetime]  # cut -> the exclusive instant at which it ends: the "now" of ages
# Instants and offsets of users -> by cut, how many of a user's newest events the cut does not see.
SeenFrom = Callable[[Ints, Ints], dict[str, Ints]]

_EVENT = {
    "item_idx": "int",
    "event_at": "long",
    "type": "int",
    "value": "double",
    "weight": "double",
    "active_days": "int",
}
DAY = 86_400_000_000  # microseconds
_PIECE, _EVENTS_A_BATCH = 8192, 2**18


def timelines(
    numbered: DataFrame,
    seen_from: SeenFrom,
    ends: CutEnds,
    history_days: int,
    active_days: Mapping[str, int | Literal["all"]],
) -> DataFrame:
    """Timelines of numbered events that are parted by user.

    Args:
        numbered: what `events.numbered` gives.
        seen_from: says what each cut sees.
        ends: end of each cut.
        history_days: an event that is older at a cut's end than so many days is not recent; one exactly so old is.
        active_days: per source, days for which an event makes a user active; all: for ever. The key '' is for
            sources that it does not name.
    """
    oldest = {cut: micros(end) - history_days * DAY for cut, end in ends.items()}
    lists = ", ".join(f"{name} array<{kind}>" for name, kind in _EVENT.items())
    schema = f"user_idx int, segment string, seen_from array<int>, recent_until array<int>, {lists}"

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in whole_users(batches):
            users = rows["user_idx"].to_numpy()
            offsets = np.r_[first_rows(users), len(users)]
            at = rows["event_at"].to_numpy()
            from_event = seen_from(at, offsets)
            until = {cut: _num_not_before(at, offsets, oldest[cut]) for cut in CUTS}
            yield from _pieces(rows, users, offsets, _by_cut(from_event), _by_cut(until), _PIECE)

    days = [part for name, num in active_days.items() for part in (F.lit(name), F.lit(_days(num)))]
    by_source = F.try_element_at(F.create_map(*days), F.col("source"))
    sorted_events = (
        numbered.withColumns(
            {
                "active_days": F.coalesce(by_source, F.lit(_days(active_days[""]))),
                "event_at": F.unix_micros("event_at"),
                "value": F.coalesce("value", F.lit(float("nan"))),
            }
        )
        .sortWithinPartitions(user_order(), "user_idx", *_newest_first())
        .select("user_idx", "segment", *_EVENT)
    )
    return through_python(sorted_events, work, schema)


def user_order() -> Column:
    """A hash of the user."""
    return F.xxhash64("user_idx", F.lit("row groups"))


def items_of_users(rows: DataFrame) -> DataFrame:
    """user_idx and item_idx of each event."""
    return rows.select("user_idx", F.explode("item_idx").alias("item_idx"))


def num_newer(at: Ints, offsets: Ints, instant: dt.datetime) -> Ints:
    """[U], how many of each user's events came at an instant or later.

    Args:
        at: [N], microseconds, newest first within a user.
        offsets: [U + 1].
        instant: inclusive.
    """
    return _num_not_before(at, offsets, micros(instant))


def micros(instant: dt.datetime) -> int:
    """Microseconds from 1970 to an instant, as `event_at` counts them."""
    return (instant - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def _newest_first() -> list[Column]:
    """The total order of a user's events. Rows that tie in all of it are equal."""
    return [F.desc(name) for name in ("event_at", "order_hash", "type", "value", "weight", "active_days")]


def _pieces(
    rows: pa.RecordBatch, users: Ints, offsets: Ints, seen_from: pa.Array, until: pa.Array, size: int
) -> Iterator[pa.RecordBatch]:
    num_pieces = -(-np.diff(offsets) // size)
    of_user = np.repeat(np.arange(len(num_pieces)), num_pieces)
    number = np.arange(len(of_user)) - np.repeat(np.cumsum(num_pieces) - num_pieces, num_pieces)
    starts = np.r_[offsets[of_user] + number * size, len(users)]
    first = offsets[of_user]
    arrays = [
        pa.array(users[first]),
        rows["segment"].take(first),
        seen_from.take(of_user),
        until.take(of_user),
    ]
    # Few at a time, as long as they are full: what one message takes has a bound.
    step = max(1, _EVENTS_A_BATCH * len(of_user) // len(users))
    for start in range(0, len(of_user), step):
        here = starts[start : start + step + 1]
        lists = [
            pa.ListArray.from_arrays((here - here[0]).astype(np.int32), rows[name][here[0] : here[-1]])
            for name in _EVENT
        ]
        of_users = [array[start : start + step] for array in arrays]
        yield pa.RecordBatch.from_arrays([*of_users, *lists], names=[*USER, *_EVENT])


def _num_not_before(at: Ints, offsets: Ints, instant: int) -> Ints:
    num: Ints = np.add.reduceat(at >= instant, offsets[:-1], dtype=np.int64)
    return num


def _by_cut(bounds: Mapping[str, Ints]) -> pa.ListArray:
    matrix = np.stack([bounds[cut] for cut in CUTS], axis=1).astype(np.int32)
    return pa.ListArray.from_arrays(
        np.arange(len(matrix) + 1, dtype=np.int32) * len(CUTS), pa.array(matrix.ravel())
    )


def _days(num: int | Literal["all"]) -> int:
    return 2**31 - 1 if num == "all" else num
