"""What each user did last, and everything each user has seen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark.transforms.padding import event_lists, event_row


def histories(events: DataFrame, length: int) -> DataFrame:
    """The last `length` events of each user and cut: HISTORIES without its run_date.

    A user is cut to `length` rows before any list is collected, however many events it has.

    Args:
        events: recent events by cut.
        length: L.
    """
    return (
        events.where(F.col("place") <= length)
        .groupBy("cut", "user_idx")
        .agg(
            F.sort_array(F.collect_list(event_row(-F.col("place")))).alias("events"),
            F.min("event_at").alias("first_at"),
            F.max("event_at").alias("last_at"),
        )
        .select(
            "user_idx",
            *event_lists("events", length),
            F.size("events").alias("num_events"),
            "first_at",
            "last_at",
            "cut",
        )
    )


def seen_items(events: DataFrame) -> DataFrame:
    """Every distinct item of each user and cut: SEEN_ITEMS without its run_date."""
    pairs = events.select("cut", "user_idx", "item_idx").distinct()
    return pairs.groupBy("cut", "user_idx").agg(F.sort_array(F.collect_list("item_idx")).alias("items"))


def touched_users(interactions: DataFrame, source_files: DataFrame, previous_date: dt.date) -> DataFrame:
    """Ids of users whose current events may differ from those of `previous_date`: a superset, never less.

    What arrived since may change the events of every row key that it brings, and of every row key of an
    old row whose file or (delivered `full`) whole source it replaces.

    Args:
        interactions: every row that arrived up to the run date, superseded ones included.
        source_files: of the same dates.
        previous_date: the run date of the histories to carry over.
    """
    is_new = F.col("run_date") > F.lit(previous_date)
    new, old = interactions.where(is_new), interactions.where(~is_new)
    delivered = source_files.where(is_new & (F.col("table") == "interactions"))
    full = delivered.where(F.col("delivery") == "full")
    replaced = [
        old.join(F.broadcast(delivered), ["source", "file_name"], how="left_semi"),
        old.join(F.broadcast(full), "source", how="left_semi"),
    ]
    keys = new.select("source", "row_key")
    for rows in replaced:
        keys = keys.unionByName(rows.select("source", "row_key"))
    return interactions.join(keys, ["source", "row_key"], how="left_semi").select("user_id").distinct()


def continued(
    build: Callable[[DataFrame], DataFrame],
    events: DataFrame,
    previous: DataFrame,
    touched: DataFrame,
    oldest_at: dt.datetime | None = None,
) -> DataFrame:
    """`build(events)`, with the rows of cut night that have not changed taken from the previous date.

    Args:
        build: makes HISTORIES or SEEN_ITEMS (without run_date) of events.
        events: events by cut.
        previous: the table as of the previous date.
        touched: `user_id` of `touched_users` as `user_idx`.
        oldest_at: start of tonight's history window: a history that reaches back beyond it is built
            again. None: events of any age count.
    """
    kept = previous.where(F.col("cut") == "night").join(touched, "user_idx", how="left_anti").drop("run_date")
    if oldest_at is not None:
        kept = kept.where(F.col("first_at") >= F.lit(oldest_at))
    others = events.join(kept.select("user_idx", "cut"), ["user_idx", "cut"], how="left_anti")
    return build(others).unionByName(kept)
