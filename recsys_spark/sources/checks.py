"""Conversions from text that name what is wrong instead of failing or guessing.

Each function gives (the converted column, the reason it could not be converted or null).
"""

from __future__ import annotations

import datetime as dt

from pyspark.sql import Column
from pyspark.sql import functions as F

ISO = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.]\d+)?)? ?(Z|[+-]\d{2}(:?\d{2})?)$"
LAST_SECOND = 253_402_300_800  # 10000-01-01: Spark's timestamps end here for every reader


def first_of(*reasons: Column) -> Column:
    """The first reason that is not null."""
    return F.coalesce(*reasons) if reasons else F.lit(None).cast("string")


def named(condition: Column, name: str) -> Column:
    """`name` where the condition holds, else null; an unknown condition does not hold."""
    return F.when(condition, F.lit(name)).otherwise(F.lit(None).cast("string"))


def present(ids: Column) -> Column:
    """The reason an id is no id: `null_id`, or `empty_id` for one of white space only."""
    return F.coalesce(named(ids.isNull(), "null_id"), named(F.trim(ids) == "", "empty_id"))


def number(text: Column, what: str, low: float | None, high: float | None) -> tuple[Column, Column]:
    """A finite double within [low, high]; a null text is a null number.

    Args:
        what: begins the reason for any number but `value`: price_not_a_number.
    """
    converted = text.try_cast("double")
    prefix = "" if what == "value" else f"{what}_"
    outside = F.lit(False)
    if low is not None:
        outside = outside | (converted < low)
    if high is not None:
        outside = outside | (converted > high)
    reason = first_of(
        named(text.isNotNull() & converted.isNull(), f"unparsable_{what}"),
        named(F.isnan(converted), f"{prefix}not_a_number"),
        named(F.abs(converted) == float("inf"), f"{prefix}infinite"),
        named(outside, f"{prefix}out_of_range"),
    )
    return converted, reason


def cast(text: Column, what: str, to: str) -> tuple[Column, Column]:
    """A cast whose failure is `unparsable_<what>`."""
    converted = text.try_cast(to)
    return converted, named(text.isNotNull() & converted.isNull(), f"unparsable_{what}")


def instant(
    text: Column, form: str, pattern: str | None, zone: str | None, run_date: dt.date
) -> tuple[Column, Column]:
    """A UTC instant from 1970 on and before the day after `run_date` (session time zone: UTC)."""
    if form == "iso":
        sound = F.regexp_replace(text, r"([+-]\d{2})(\d{2})$", "$1:$2")
        sound = F.regexp_replace(sound, r" ?([+-]\d{2})$", "$1:00")
        converted = F.when(text.rlike(ISO), sound.try_cast("timestamp"))
        readable = converted.isNotNull()
    elif form == "pattern":
        converted = F.try_to_timestamp(text, F.lit(pattern))
        converted = F.to_utc_timestamp(converted, zone) if zone else converted
        readable = converted.isNotNull()
    else:
        seconds = text.try_cast("decimal(30,9)") / (1000 if form == "epoch_milliseconds" else 1)
        readable = seconds.isNotNull()
        inside = F.when(F.abs(seconds) < LAST_SECOND, seconds)
        converted = F.timestamp_micros(F.floor(inside * 1_000_000).cast("long"))
    end = F.lit(dt.datetime.combine(run_date + dt.timedelta(days=1), dt.time(), dt.UTC))
    start = F.lit(dt.datetime(1970, 1, 1, tzinfo=dt.UTC))
    reason = first_of(
        named(text.isNull(), "null_time"),
        named(~readable, "unparsable_time"),
        named(converted.isNull() | (converted < start), "impossible_time"),
        named(converted >= end, "future_time"),
    )
    return converted, reason
