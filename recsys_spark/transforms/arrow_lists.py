"""Columns of Arrow from NumPy: instants, and lists of events of one fixed length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys_spark.tables import PADDING
from recsys_spark.transforms.whole_users import Ints, Timelines

EVENT_COLUMNS = ("item_idx", "type", "value", "event_at", "weight")
_MOST_SECONDS = 2**31 - 1


def event_lists(timelines: Timelines, newest: Ints, num: Ints, length: int) -> dict[str, pa.ListArray]:
    """items, types, values, gaps and weights of R lists of `length` positions, oldest first, left-padded with 0.

    A gap is whole seconds since the event before it in the list, 0 for the first.

    Args:
        timelines: with EVENT_COLUMNS.
        newest: [R], where in the N the newest event of each list is.
        num: [R], events in each list, at most `length`.
        length: positions.
    """
    of, back = timelines.of, np.arange(length - 1, -1, -1)
    is_event = back < num[:, None]
    events = np.where(is_event, newest[:, None] + back, 0)
    at = of["event_at"][events]
    seconds = np.minimum((at[:, 1:] - at[:, :-1]) // 1_000_000, _MOST_SECONDS)
    gaps = np.zeros(events.shape, np.int32)
    gaps[:, 1:] = np.where(is_event[:, :-1], seconds, 0)
    columns = {
        "items": of["item_idx"][events],
        "types": of["type"][events],
        "values": of["value"].astype(np.float32)[events],
        "gaps": gaps,
        "weights": of["weight"].astype(np.float32)[events],
    }
    return {name: fixed_lists(np.where(is_event, column, PADDING)) for name, column in columns.items()}


def fixed_lists(matrix: NDArray[Any]) -> pa.ListArray:
    """[R, length] as R lists; ints and floats keep their type but 8-byte ints, which become 4-byte ones."""
    if matrix.dtype == np.int64:
        matrix = matrix.astype(np.int32)
    num, length = matrix.shape
    return pa.ListArray.from_arrays(np.arange(num + 1, dtype=np.int32) * length, pa.array(matrix.ravel()))


def lists(lengths: Ints, values: NDArray[Any]) -> pa.ListArray:
    """One list after the other, of these lengths."""
    return pa.ListArray.from_arrays(np.r_[0, np.cumsum(lengths)].astype(np.int32), pa.array(values))


def instants(micros: Ints) -> pa.Array:
    """Microseconds as instants."""
    return pa.array(micros).cast(pa.timestamp("us", "UTC"))
