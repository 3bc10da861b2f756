"""All that the checks look at of a user in one row, and those rows as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

Array = NDArray[Any]

NEW_ITEMS = "new_items"  # the source of the items with few events
UNKNOWN_AGE = -1


class Pairs(NamedTuple):
    """Items of rows: `row` [P] ascending, `item_idx` [P]."""

    row: Array
    item_idx: Array


class Users(NamedTuple):
    """Users [U], what rules keep from them, and their lists [L].

    Attributes:
        user_ids: [U]; null for a user without features.
        segments: [U]; null for unknown.
        ages: [U]; `UNKNOWN_AGE` for unknown.
        left_out: by rule, the items [P] that it keeps from users.
        lists: [L] structs, fields as in `by_user`.
        user_of: [L], row of the list's user.
        listed: the items [P] of lists, by rank.
        num_items: [L]; -1 for a list that is null.
    """

    user_ids: pa.Array
    segments: pa.Array
    ages: Array
    is_active: NDArray[np.bool_]
    left_out: dict[str, Pairs]
    lists: pa.StructArray
    user_of: Array
    listed: Pairs
    num_items: Array


def by_user(lists: DataFrame, user_features: DataFrame, left_out: Mapping[str, DataFrame]) -> DataFrame:
    """One row a user, made by one shuffle: `lists`, the columns of USER_FEATURES, and the items of each rule.

    Args:
        lists: of one cut.
        user_features: of the same cut.
        left_out: by rule, `user_idx` and the `items` it keeps from the user, one row a user.
    """
    facts = F.struct("user_id", "segment", "age", "is_active")
    parts = [
        lists.select("user_idx", _list().alias("list")),
        user_features.select("user_idx", facts.alias("user")),
        *[rows.select("user_idx", F.col("items").alias(rule)) for rule, rows in left_out.items()],
    ]
    every = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts)
    grouped = every.groupBy("user_idx").agg(
        F.collect_list("list").alias("lists"),
        *[F.first(name, ignorenulls=True).alias(name) for name in ("user", *left_out)],
    )
    return grouped.select("user_idx", "user.*", "lists", *left_out)


def opened(batch: pa.RecordBatch, left_out: Sequence[str]) -> Users:
    """Rows of `by_user` as arrays.

    Args:
        left_out: columns with what rules keep from users.
    """
    lists = batch["lists"].flatten()
    items = lists.field("items")
    return Users(
        user_ids=batch["user_id"],
        segments=batch["segment"],
        ages=pc.fill_null(batch["age"], UNKNOWN_AGE).to_numpy(),
        is_active=pc.fill_null(batch["is_active"], False).to_numpy(zero_copy_only=False),
        left_out={rule: pairs(batch[rule]) for rule in left_out},
        lists=lists,
        user_of=rows_of(batch["lists"]),
        listed=pairs(items),
        num_items=pc.fill_null(pc.list_value_length(items), -1).to_numpy(),
    )


def pairs(column: pa.ListArray) -> Pairs:
    """Every (row, element) of lists; null rows have none, and an item that is null is 0."""
    elements = column.flatten()
    if pa.types.is_integer(elements.type):
        elements = pc.fill_null(elements, 0)  # of scores, nulls become NaN
    return Pairs(rows_of(column), elements.to_numpy(zero_copy_only=False))


def rows_of(column: pa.ListArray) -> Array:
    """The row of every element of lists."""
    num = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    return np.repeat(np.arange(len(num)), num)


def _list() -> Column:
    """A list with the lengths of what is not looked at one by one."""
    num_listed = F.aggregate("filled_by", F.lit(0), lambda num, run: num + run["num_items"])
    new = F.filter("filled_by", lambda run: run["source"] == NEW_ITEMS)
    return F.struct(
        "user_id",
        "items",
        "scores",
        "reason",
        F.size("because").alias("num_reasons"),
        F.size("because_scores").alias("num_reason_scores"),
        num_listed.alias("num_filled"),
        F.coalesce(F.get(new, F.lit(0))["num_items"], F.lit(0)).alias("num_new"),
    )
