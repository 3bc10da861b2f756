"""Lists of events as arrays of one fixed length."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

_MOST_SECONDS = 2**31 - 1


def event_row(place: Column) -> Column:
    """One event as a struct; `place` comes first, so that sorting the structs sorts by it."""
    return F.struct(
        place.alias("place"),
        F.col("item_idx"),
        F.col("type"),
        F.coalesce("value", F.lit(float("nan"))).cast("float").alias("value"),
        F.col("weight").cast("float").alias("weight"),
        F.unix_micros("event_at").alias("at"),
    )


def event_lists(rows: str, length: int) -> list[Column]:
    """items, types, values, gaps and weights of an array of `event_row`s, oldest first, left-padded.

    A gap is whole seconds since the event before it in the list, 0 for the first.
    """
    at = F.col(f"{rows}.at")
    gap = F.zip_with(
        at,
        F.concat(F.slice(at, 1, 1), F.slice(at, 1, F.greatest(F.size(at) - 1, F.lit(0)))),
        lambda this, before: F.least(F.lit(_MOST_SECONDS), F.floor((this - before) / 1_000_000)).cast("int"),
    )
    columns = [
        ("items", F.col(f"{rows}.item_idx"), "int"),
        ("types", F.col(f"{rows}.type"), "int"),
        ("values", F.col(f"{rows}.value"), "float"),
        ("gaps", gap, "int"),
        ("weights", F.col(f"{rows}.weight"), "float"),
    ]
    return [left_padded(column, length, dtype).alias(name) for name, column, dtype in columns]


def left_padded(values: Column, length: int, dtype: str) -> Column:
    """Zeros before `values` (an array of `dtype`) up to `length`."""
    return F.concat(_zeros(length, values, dtype), values)


def right_padded(values: Column, length: int, dtype: str) -> Column:
    """Zeros after `values` (an array of `dtype`) up to `length`."""
    return F.concat(values, _zeros(length, values, dtype))


def _zeros(length: int, values: Column, dtype: str) -> Column:
    return F.array_repeat(F.lit(0).cast(dtype), F.lit(length) - F.size(values))
