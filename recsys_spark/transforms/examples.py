"""The three example tables: one row an event, one row a window of events, one row a user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark import tables
from recsys_spark.transforms.actions import Actions
from recsys_spark.transforms.arrow_lists import EVENT_COLUMNS, event_lists, fixed_lists, instants
from recsys_spark.transforms.item_popularity import EVERYBODY
from recsys_spark.transforms.user_items import user_items
from recsys_spark.transforms.whole_users import Ints, Reading, Timelines

Weights = Mapping[str, NDArray[np.float64]]  # cut -> weight by item_idx
_WINDOWS = 8192


def weights_by_item(
    popular: DataFrame, power: float, cuts: Sequence[str], actions: Actions
) -> Weights | None:
    """`item_weights` as `by_item` gives them; None with power 0, where every item weighs 1."""
    return by_item(actions.gather(item_weights(popular, power)), cuts) if power else None


def item_weights(popular: DataFrame, power: float) -> DataFrame:
    """One row a cut and item: `item_weight` = (mean events of an item / this item's)^power.

    Args:
        popular: what `item_popularity` gives.
        power: 0 gives every item weight 1.
    """
    counts = popular.where(F.col("segment") == EVERYBODY).select("cut", "item_idx", "num_events")
    of_cut = counts.groupBy("cut").agg((F.sum("num_events") / F.count(F.lit(1))).alias("mean_events"))
    weight = F.pow(F.col("mean_events") / F.col("num_events"), F.lit(float(power)))
    return counts.join(F.broadcast(of_cut), "cut", how="inner").select(
        "cut", "item_idx", weight.alias("item_weight")
    )


def by_item(weights: pa.Table, cuts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """`item_weights`, gathered, as an array by item_idx for each cut; empty for a cut that sees no event."""
    weight = {}
    for cut in cuts:
        rows = weights.filter(pc.equal(weights["cut"], cut))
        item_idx = rows["item_idx"].to_numpy()
        weight[cut] = np.zeros(item_idx.max(initial=-1) + 1)
        weight[cut][item_idx] = rows["item_weight"].to_numpy()
    return weight


def event_examples(timelines: DataFrame, cuts: Sequence[str], weights: Weights | None) -> Reading:
    """One row a recent event: EVENT_EXAMPLES without its run_date.

    Args:
        timelines: what `timelines.timelines` gives.
        cuts: to build.
        weights: what `by_item` gives; None: every item weighs 1.
    """

    def make(users: Timelines) -> Iterator[pa.RecordBatch]:
        for cut in cuts:
            events = users.recent(cut)
            item_idx, weight = users.of["item_idx"][events], users.of["weight"][events]
            columns = {
                "user_idx": pa.array(users.user_idx[users.users()[events]]),
                "item_idx": pa.array(item_idx),
                "value": pa.array(users.of["value"][events].astype(np.float32)),
                "weight": pa.array(_weighted(weight, item_idx, cut, weights)),
                "event_at": instants(users.of["event_at"][events]),
                "cut": pa.repeat(cut, len(events)),
            }
            yield pa.RecordBatch.from_pydict(columns)

    columns = ("item_idx", "value", "weight", "event_at")
    return Reading(timelines, columns, make, tables.EVENT_EXAMPLES)


def sequence_examples(timelines: DataFrame, cuts: Sequence[str], length: int) -> Reading:
    """Windows of `length` + 1 positions, counted back from the newest event: SEQUENCE_EXAMPLES without its run_date.

    A window's first event is the last of the next older window, so every event but the user's first is a
    target in exactly one window. A user with a single event has no window. Example, length 2, events
    1 2 3 4 oldest first: window 0 is 2 3 4 (targets 3, 4), window 1 is 0 1 2 (target 2).

    Args:
        timelines: what `timelines.timelines` gives.
        cuts: to build.
        length: L.
    """

    def make(users: Timelines) -> Iterator[pa.RecordBatch]:
        for cut in cuts:
            num_recent = users.num_recent(cut)
            num_windows = np.where(num_recent > 1, (num_recent - 2) // length + 1, 0)
            user = np.repeat(np.arange(len(num_windows)), num_windows)
            window = np.arange(len(user)) - np.repeat(np.cumsum(num_windows) - num_windows, num_windows)
            newest = (users.offsets[:-1] + users.seen_from[cut])[user] + window * length
            num = np.minimum(num_recent[user] - window * length, length + 1)
            for start in range(0, len(user), _WINDOWS):  # a user may have many
                part = slice(start, start + _WINDOWS)
                columns = {
                    "user_idx": pa.array(users.user_idx[user[part]]),
                    "window": pa.array(window[part].astype(np.int32)),
                    **event_lists(users, newest[part], num[part], length + 1),
                    "mask": fixed_lists((np.arange(length, -1, -1) < num[part, None] - 1).astype(np.int32)),
                    "cut": pa.repeat(cut, len(user[part])),
                }
                yield pa.RecordBatch.from_pydict(columns)

    return Reading(timelines, EVENT_COLUMNS, make, tables.SEQUENCE_EXAMPLES)


def user_examples(timelines: DataFrame, cuts: Sequence[str], weights: Weights | None, length: int) -> Reading:
    """One row a user, its newest `length` distinct items: USER_EXAMPLES without its run_date.

    Args:
        timelines: what `timelines.timelines` gives.
        cuts: to build.
        weights: what `by_item` gives; None: every item weighs 1.
        length: positions; what does not fit is counted in num_overflow.
    """

    def make(users: Timelines) -> Iterator[pa.RecordBatch]:
        for cut in cuts:
            taken = user_items(users, users.recent(cut))
            total = np.bincount(taken.of_event, users.of["weight"][taken.events], len(taken.user))
            order = np.lexsort((taken.newest, taken.user))
            num_distinct = np.bincount(taken.user, minlength=len(users.user_idx))
            before = np.repeat(np.cumsum(num_distinct) - num_distinct, num_distinct)
            nth = np.arange(len(order)) - before
            has = np.flatnonzero(num_distinct)
            row = np.repeat(np.arange(len(has)), num_distinct[has])
            fits = np.flatnonzero(nth < length)
            listed, row, nth = order[fits], row[fits], nth[fits]
            item_idx = taken.item_idx[listed]

            def padded(values: NDArray[Any], at: tuple[Ints, Ints], num: int) -> pa.ListArray:
                matrix = np.zeros((num, length), values.dtype)
                matrix[at] = values
                return fixed_lists(matrix)

            num_items = np.minimum(num_distinct[has], length)
            columns = {
                "user_idx": pa.array(users.user_idx[has]),
                "items": padded(item_idx, (row, nth), len(has)),
                "values": padded(
                    users.of["value"][taken.newest[listed]].astype(np.float32), (row, nth), len(has)
                ),
                "weights": padded(_weighted(total[listed], item_idx, cut, weights), (row, nth), len(has)),
                "num_items": pa.array(num_items.astype(np.int32)),
                "num_overflow": pa.array((num_distinct[has] - num_items).astype(np.int32)),
                "cut": pa.repeat(cut, len(has)),
            }
            yield pa.RecordBatch.from_pydict(columns)

    return Reading(timelines, ("item_idx", "value", "weight"), make, tables.USER_EXAMPLES)


def _weighted(
    weight: NDArray[Any], item_idx: NDArray[Any], cut: str, weights: Weights | None
) -> NDArray[np.float32]:
    return (weight if weights is None else weight * weights[cut][item_idx]).astype(np.float32)
