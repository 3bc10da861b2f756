"""Every split of the project: which events a model may learn from, and what it is then asked."""

from __future__ import annotations

import datetime as dt

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from recsys_spark.errors import SettingsError
from recsys_spark.transforms.events import newest_first

# Cut -> the splits it sees.
SEEN_BY = {"valid": ("train",), "test": ("train", "valid"), "night": ("train", "valid", "test")}


def mark_splits(
    events: DataFrame, run_date: dt.date, kind: str, valid_days: int, test_days: int
) -> DataFrame:
    """Add `split`: train, valid or test.

    Args:
        events: numbered events.
        run_date: the last day of the data.
        kind: time | leave_last_out.
        valid_days: length of the validation window (time).
        test_days: length of the test window (time).

    Raises:
        SettingsError: `kind` is neither.
    """
    if kind == "time":
        return _by_time(events, cut_ends(run_date, kind, valid_days, test_days))
    if kind == "leave_last_out":
        return _leave_last_out(events)
    raise SettingsError(f"setting split.kind: expected time or leave_last_out, got {kind!r}")


def cut_ends(run_date: dt.date, kind: str, valid_days: int, test_days: int) -> dict[str, dt.datetime]:
    """The exclusive instant at which each cut ends: the "now" of ages and recency.

    leave_last_out has no such instant, every user ends elsewhere: all cuts then end with the run date.
    """
    night = dt.datetime.combine(run_date, dt.time(), tzinfo=dt.UTC) + dt.timedelta(days=1)
    if kind != "time":
        return dict.fromkeys(SEEN_BY, night)
    test = night - dt.timedelta(days=test_days)
    return {"valid": test - dt.timedelta(days=valid_days), "test": test, "night": night}


def truth(marked: DataFrame, repeats_allowed: bool) -> DataFrame:
    """What users with an earlier event did next: TRUTH without its run_date.

    Cut valid asks for the items of split valid by users with a train event; cut test for those of split
    test by users with a train or valid event. Items come by first event in the window. A user whose
    every item was seen before has nothing to be found and gets no row, unless repeats are allowed.
    """
    windows = {"valid": "valid", "test": "test"}
    roles = [
        F.when(F.col("split").isin(*SEEN_BY[cut]), F.struct(F.lit(cut).alias("cut"), F.lit(False).alias("after")))
        .when(F.col("split") == window, F.struct(F.lit(cut).alias("cut"), F.lit(True).alias("after")))
        for cut, window in windows.items()
    ]  # fmt: skip
    first_after = F.min(F.when(F.col("after"), F.struct("event_at", "order_hash")))
    items = (
        marked.withColumn("role", F.explode(F.array_compact(F.array(*roles))))
        .select("user_idx", "item_idx", "event_at", "order_hash", "role.cut", "role.after")
        .groupBy("cut", "user_idx", "item_idx")
        .agg(F.bool_or(~F.col("after")).alias("seen"), first_after.alias("first"))
    )
    asked = F.col("first").isNotNull() if repeats_allowed else F.col("first").isNotNull() & ~F.col("seen")
    found = F.sort_array(
        F.collect_list(F.when(asked, F.struct("first.event_at", "first.order_hash", "item_idx")))
    )
    return (
        items.groupBy("cut", "user_idx")
        .agg(F.bool_or("seen").alias("is_warm"), found.alias("found"))
        .where(F.col("is_warm") & (F.size("found") > 0))
        .select("user_idx", F.col("found.item_idx").alias("items"), "cut")
    )


def _by_time(events: DataFrame, ends: dict[str, dt.datetime]) -> DataFrame:
    """The last `test_days` days are test, the `valid_days` before them valid, the rest train.

    With run date 2024-05-31, valid_days 7 and test_days 7:

        train   before 2024-05-18 00:00
        valid   from   2024-05-18 00:00 to before 2024-05-25 00:00
        test    from   2024-05-25 00:00 to before 2024-06-01 00:00

    Events of one user at one instant are never divided.
    """
    at = F.col("event_at")
    split = (
        F.when(at >= F.lit(ends["test"]), "test").when(at >= F.lit(ends["valid"]), "valid").otherwise("train")
    )
    return events.withColumn("split", split)


def _leave_last_out(events: DataFrame) -> DataFrame:
    """A user's last event is test, the one before it valid; users with fewer than 3 events are all train.

    Events at one instant are divided by the hash of user and item, never by item number.
    """
    order = Window.partitionBy("user_idx").orderBy(*newest_first())
    place = F.row_number().over(order)
    first, second = F.lead("user_idx", 2).over(order), F.lead("user_idx", 1).over(order)
    split = F.when((F.col("place") == 1) & F.col("has_two_older"), "test").when(
        (F.col("place") == 2) & F.col("has_older"), "valid"
    )
    return (
        events.withColumns(
            {"place": place, "has_two_older": first.isNotNull(), "has_older": second.isNotNull()}
        )
        .withColumn("split", F.coalesce(split, F.lit("train")))
        .drop("place", "has_two_older", "has_older")
    )
