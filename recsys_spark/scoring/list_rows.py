"""Lists of a batch of users as rows of LISTS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_spark.forms.reasons import Reasons
from recsys_spark.ranking.top_n import Lists, is_filled
from recsys_spark.scoring import columns

Array = NDArray[Any]


def record_batch(
    users: pa.RecordBatch,
    lists: Lists,
    reasons: Reasons,
    has_reasons: Array,
    filled_by: pa.ListArray,
    recommender: pa.Array,
    model_version: pa.Array,
    why_short: pa.Array,
) -> pa.RecordBatch:
    """The columns of LISTS that ranking gives.

    Args:
        has_reasons: [B], whether reasons are given.
    """
    filled = is_filled(lists)
    out = {
        "user_idx": users["user_idx"],
        "user_id": users["user_id"],
        "items": columns.lists(lists.num_items, pa.array(_where(lists.item_idx, filled).astype(np.int32))),
        "scores": columns.lists(lists.num_items, pa.array(_where(lists.scores, filled))),
        "filled_by": filled_by,
        "because": _reasons(reasons.item_idx, filled, has_reasons, np.int32),
        "because_scores": _reasons(reasons.scores, filled, has_reasons, np.float64),
        "recommender": recommender,
        "model_version": model_version,
        "segment": users["segment"],
        "is_control": users["is_control"],
        "reason": why_short,
    }
    return pa.RecordBatch.from_arrays(list(out.values()), names=list(out))


def runs(sources: Array, filled: Array, names: Sequence[str]) -> pa.ListArray:
    """FILLED_BY [B] from the source of each place [B, N], by its number in `names`."""
    row, source = np.nonzero(filled)[0], sources[filled]
    is_first = np.ones(len(row), np.bool_)
    is_first[1:] = (row[1:] != row[:-1]) | (source[1:] != source[:-1])
    starts = np.flatnonzero(is_first)
    return _runs(row[starts], source[starts], np.diff(starts, append=len(row)), len(filled), names)


def runs_of(num_of: Array, names: Sequence[str]) -> pa.ListArray:
    """FILLED_BY [B] from how many places each source has [B, sources], when they come in the order of `names`."""
    row, source = np.nonzero(num_of)
    return _runs(row, source, num_of[row, source], len(num_of), names)


def _runs(row: Array, source: Array, num_items: Array, num_rows: int, names: Sequence[str]) -> pa.ListArray:
    fields = {
        "source": pa.array(list(names), pa.string()).take(pa.array(source)),
        "num_items": pa.array(num_items.astype(np.int32)),
    }
    structs = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    return columns.lists(np.bincount(row, minlength=num_rows), structs)


def either(condition: Array, yes: str | None, no: str | None) -> pa.Array:
    """One of two texts a row."""
    return pc.if_else(pa.array(condition), pa.scalar(yes, pa.string()), pa.scalar(no, pa.string()))


def _reasons(values: Array, filled: Array, has_reasons: Array, dtype: type) -> pa.ListArray:
    """One list a row, R of each item; empty where no reasons are given."""
    if not has_reasons.any():
        return columns.lists(np.zeros(len(values), np.int64), pa.array(np.zeros(0, dtype)))
    is_reason = filled & has_reasons[:, None]
    return columns.lists(
        is_reason.sum(axis=1) * values.shape[2], pa.array(_where(values, is_reason).astype(dtype))
    )


def _where(values: Array, is_wanted: Array) -> Array:
    """The wanted of [B, N, ...], in their order, as one row."""
    return (values if is_wanted.all() else values[is_wanted]).reshape(-1)
