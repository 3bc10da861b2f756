"""Timelines read by whole users, as NumPy arrays: each table of users and events is made of these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from recsys_spark.python_tasks import TablesFromPython, through_python
from recsys_spark.tables import CUTS, Table

Ints = NDArray[np.int64]
USER = ("user_idx", "segment", "seen_from", "recent_until")  # columns of timelines beside those of events


class Timelines(NamedTuple):
    """U whole users with N events in all.

    user_idx: [U].
    segment: [U], text.
    offsets: [U + 1], where in the N each user's newest event is.
    seen_from, recent_until: cut -> [U], counted from the user's newest event.
    of: column -> [N].
    """

    user_idx: Ints
    segment: pa.StringArray
    offsets: Ints
    seen_from: dict[str, Ints]
    recent_until: dict[str, Ints]
    of: dict[str, NDArray[Any]]

    def num_events(self) -> Ints:
        """[U], events of any age."""
        num: Ints = np.diff(self.offsets)
        return num

    def users(self) -> Ints:
        """[N], which of the U users each event is of."""
        return np.repeat(np.arange(len(self.user_idx)), self.num_events())

    def nth(self) -> Ints:
        """[N], how many of its user's events are newer than each event."""
        return np.arange(self.offsets[-1]) - np.repeat(self.offsets[:-1], self.num_events())

    def seen(self, cut: str) -> Ints:
        """Where in the N the events are that the cut sees."""
        return np.flatnonzero(self.nth() >= np.repeat(self.seen_from[cut], self.num_events()))

    def recent(self, cut: str) -> Ints:
        """Where in the N the events are that the cut sees and that lie in its history window."""
        nth, num = self.nth(), self.num_events()
        is_recent = nth < np.repeat(self.recent_until[cut], num)
        return np.flatnonzero(is_recent & (nth >= np.repeat(self.seen_from[cut], num)))

    def num_recent(self, cut: str) -> Ints:
        """[U], how many `recent` finds."""
        num: Ints = np.maximum(self.recent_until[cut] - self.seen_from[cut], 0)
        return num


Make = Callable[[Timelines], Iterable[pa.RecordBatch]]


class Reading(NamedTuple):
    """Rows of a table, without their run date, that follow from each user's events alone.

    Attributes:
        timelines: what `timelines.timelines` gives.
        columns: of each event, those that `make` needs.
        make: the rows of whole users, in their order; as `read_off` takes it.
    """

    timelines: DataFrame
    columns: Sequence[str]
    make: Make
    table: Table

    def rows(self) -> DataFrame:
        """As a frame."""
        schema = StructType([field for field in self.table.schema if field.name != "run_date"])
        return read_off(self.timelines, self.columns, self.make, schema)


def read_off(
    timelines: DataFrame,
    columns: Sequence[str],
    make: Make,
    schema: StructType | str,
) -> DataFrame:
    """The rows that `make` makes of whole users, in their order.

    Args:
        timelines: what `timelines.timelines` gives.
        columns: of each event, those that `make` needs.
        make: must keep nothing from one call to the next, and is given at least one user.
        schema: of the rows.
    """

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in whole_users(batches):
            yield from make(_timelines(rows, columns))

    return through_python(timelines.select(*USER, *columns), work, schema)


def in_one_pass(timelines: DataFrame, readings: Sequence[Reading]) -> TablesFromPython:
    """The tables of several readings of these timelines, which are read only once."""
    columns = list(dict.fromkeys(name for reading in readings for name in reading.columns))

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, pa.RecordBatch]]:
        for rows in whole_users(batches):
            users = _timelines(rows, columns)
            for name, make in makers:
                for of_table in make(users):
                    yield name, of_table

    makers = [(reading.table.name, reading.make) for reading in readings]  # frames stay on the driver
    return TablesFromPython(
        timelines.select(*USER, *columns), work, tuple(reading.table for reading in readings)
    )


def _timelines(rows: pa.RecordBatch, columns: Sequence[str]) -> Timelines:
    users = rows["user_idx"].to_numpy()
    first = first_rows(users)
    ends = np.r_[0, np.cumsum(rows[columns[0]].value_lengths().to_numpy())]
    bounds = [
        rows[name].flatten().to_numpy().reshape(-1, len(CUTS))[first].astype(np.int64)
        for name in ("seen_from", "recent_until")
    ]
    seen_from, until = [{cut: bound[:, n] for n, cut in enumerate(CUTS)} for bound in bounds]
    of = {name: rows[name].flatten().to_numpy() for name in columns}
    offsets = np.r_[ends[first], ends[-1]].astype(np.int64)
    return Timelines(users[first], rows["segment"].take(first), offsets, seen_from, until, of)


def whole_users(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches that hold no part of a user; users are one after the other."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if batch.num_rows == 0:
            continue
        users = batch["user_idx"].to_numpy()
        last = int(first_rows(users)[-1])
        if last == 0 and held and held[-1]["user_idx"][-1].as_py() == users[0]:
            held.append(batch)
            continue
        if held or last:
            yield _joined([*held, batch[:last]])
        held = [batch[last:]]
    if held:
        yield _joined(held)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def first_rows(users: NDArray[Any]) -> Ints:
    """Where each user's rows begin."""
    first: Ints = np.r_[0, np.flatnonzero(np.diff(users)) + 1]
    return first
