"""String ids to dense integers. An id keeps its number for ever; a night only appends."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from recsys_spark.tables import FIRST_IDX
from recsys_spark.transforms.actions import Actions


def ids_in(frames: Iterable[DataFrame], kind: str) -> DataFrame:
    """One row an id (`{kind}_id`) of all `frames`, with its first event (`first_seen_at`, null without one).

    Args:
        frames: tables with the id column; those with an `event_at` say when the id was first seen.
        kind: user | item.
    """
    id_name = f"{kind}_id"
    parts = []
    for frame in frames:
        first_seen_at = F.col("event_at") if "event_at" in frame.columns else F.lit(None).cast("timestamp")
        parts.append(frame.select(id_name, first_seen_at.alias("first_seen_at")))
    together = parts[0]
    for part in parts[1:]:
        together = together.unionByName(part)
    return together.groupBy(id_name).agg(F.min("first_seen_at").alias("first_seen_at"))


def new_ids(
    arrived: DataFrame, known: DataFrame, num_known: Callable[[], int], kind: str, run_date: dt.date
) -> DataFrame:
    """Number the arrived ids that the index does not hold yet, by (first event day, id).

    Ids without an event come last. Ids are sorted day by day; only the days' counts meet in one task.

    Args:
        arrived: one row an id, as `ids_in` gives it.
        known: the index as it is; only its ids are read.
        num_known: tells its rows. Numbers are dense, so the next one follows from it.
        kind: user | item.
        run_date: the night that numbers them.
    """
    id_name = f"{kind}_id"
    new = arrived.join(known.select(id_name), id_name, how="left_anti").withColumn(
        "day", F.to_date("first_seen_at")
    )
    days = new.groupBy("day").agg(F.count(F.lit(1)).alias("num_ids"))
    earlier_days = Window.orderBy(F.asc_nulls_last("day")).rowsBetween(Window.unboundedPreceding, -1)
    offsets = days.select(
        F.col("day").alias("offset_day"),
        F.coalesce(F.sum("num_ids").over(earlier_days), F.lit(0)).alias("offset"),
    )
    in_day = F.row_number().over(Window.partitionBy("day").orderBy(id_name))
    return (
        new.withColumn("in_day", in_day)
        .join(F.broadcast(offsets), F.col("day").eqNullSafe(F.col("offset_day")), how="inner")
        .select(
            id_name,
            (F.lit(num_known() + FIRST_IDX - 1) + F.col("offset") + F.col("in_day"))
            .cast("int")
            .alias(f"{kind}_idx"),
            "first_seen_at",
            F.lit(run_date).alias("run_date"),
        )
    )


def numbered_after(index: DataFrame, run_date: dt.date) -> DataFrame:
    """The rows that a later night appended: none unless nights run out of order, or again."""
    return index.where(F.col("run_date") > F.lit(run_date))


def known_tonight(
    index: DataFrame, kind: str, run_date: dt.date, events: DataFrame, listing: DataFrame, actions: Actions
) -> DataFrame:
    """`known_at`; on the newest night that is the whole index, which one look shows."""
    if actions.gather(numbered_after(index, run_date).select("run_date").limit(1)).num_rows == 0:
        return index
    return known_at(index, kind, run_date, events, listing)


def known_at(
    index: DataFrame, kind: str, run_date: dt.date, events: DataFrame, listing: DataFrame
) -> DataFrame:
    """The rows of ids known on `run_date`: numbered by then, or in an event or a listing of that night.

    The second matters only when nights run out of order: a later night may have numbered the id first.

    Args:
        index: the whole index.
        kind: user | item.
        run_date: D.
        events: numbered events as of D.
        listing: items or users as of D.
    """
    later = numbered_after(index, run_date)
    in_events = later.join(events.select(f"{kind}_idx"), f"{kind}_idx", how="left_semi")
    listed = later.join(listing.select(f"{kind}_id"), f"{kind}_id", how="left_semi")
    there = in_events.unionByName(listed).distinct()
    return index.where(F.col("run_date") <= F.lit(run_date)).unionByName(there)


def known_before(index: DataFrame, end: dt.datetime) -> DataFrame:
    """The rows of ids that somebody could have known before an instant: by an event, or numbered on an earlier day.

    Args:
        end: exclusive; the start of a day.
    """
    return index.where((F.col("first_seen_at") < F.lit(end)) | (F.col("run_date") < F.lit(end.date())))
