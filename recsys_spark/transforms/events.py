"""Numbered events: what every feature, history and example is built from.

Columns: user_idx, item_idx, event_at, type, value, weight, source, order_hash. Events `with places` also have
a column `place_<cut>` for each cut. Events `by cut` have `cut` and `place` instead, and hold an event once for
each cut that may see it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from recsys_spark.errors import SettingsError

CutEnds = Mapping[str, dt.datetime]  # cut -> the exclusive instant at which it ends: the "now" of ages
_PLACE = "place_"


def numbered(
    interactions: DataFrame,
    user_index: DataFrame,
    item_index: DataFrame,
    run_date: dt.date,
    event_types: Sequence[str],
    tie_seed: int,
    num_partitions: int,
) -> DataFrame:
    """Events before the end of `run_date` with numbers for ids and types, in `num_partitions` by user.

    `order_hash` orders events of one user at one instant: by a hash of the ids, never by item number.
    An id without a number, or a type that is not in `event_types`, fails the query that meets it.
    """
    if not event_types:
        raise SettingsError("setting features.event_types: empty; name the event types of the mappings")
    types = F.create_map(*[part for n, name in enumerate(event_types, 1) for part in (F.lit(name), F.lit(n))])
    type_name = F.col("event_type")
    return (
        interactions.where(F.col("event_at") < F.lit(_start_of(run_date + dt.timedelta(days=1))))
        .join(user_index.select("user_id", "user_idx"), "user_id", how="left")
        .join(item_index.select("item_id", "item_idx"), "item_id", how="left")
        .select(
            _or_fail(F.col("user_idx"), _unnumbered("user", run_date)).alias("user_idx"),
            _or_fail(F.col("item_idx"), _unnumbered("item", run_date)).alias("item_idx"),
            "event_at",
            _or_fail(
                types[type_name],
                F.concat(
                    F.lit("table interactions: event type "),
                    type_name,
                    F.lit(
                        f" is not one of features.event_types ({', '.join(event_types)}); add it at their end"
                    ),
                ),
            ).alias("type"),
            "value",
            "weight",
            "source",
            F.xxhash64("user_id", "item_id", F.lit(tie_seed)).alias("order_hash"),
        )
        .repartition(num_partitions, "user_idx")
    )


def dated(rows: DataFrame, run_date: dt.date) -> DataFrame:
    """Add the run date: the last column of every table."""
    return rows.withColumn("run_date", F.lit(run_date))


def newest_first() -> list[Column]:
    """The total order of a user's events, newest first. Rows that tie in all of it are equal."""
    return [F.desc(name) for name in ("event_at", "order_hash", "type", "value", "weight", "source")]


def cut_end(ends: CutEnds) -> Column:
    """The end of the row's cut."""
    return F.create_map(*[part for cut, end in ends.items() for part in (F.lit(cut), F.lit(end))])[
        F.col("cut")
    ]


def with_places(marked: DataFrame, seen_by: Mapping[str, Sequence[str]]) -> DataFrame:
    """Add `place_<cut>`: the event's place among those of its user that the cut sees, the newest is 1.

    Null where the cut does not see the event. One sort of a user's events serves every cut and table.

    Args:
        marked: events with `split`.
        seen_by: the splits that each cut sees.
    """
    newest = Window.partitionBy("user_idx").orderBy(*newest_first())
    so_far = newest.rowsBetween(Window.unboundedPreceding, Window.currentRow)

    def place(names: Sequence[str]) -> Column:
        is_seen = F.col("split").isin(*names)
        return F.when(is_seen, F.count_if(is_seen).over(so_far).cast("int"))

    return marked.withColumns({_place(cut): place(names) for cut, names in seen_by.items()})


def only_recent(events: DataFrame, ends: CutEnds, history_days: int) -> DataFrame:
    """Hide from each cut the events older than `history_days` at its end; one exactly so old stays.

    Args:
        events: events with places.
        ends: end of each cut.
        history_days: days.
    """
    oldest = {cut: F.lit(end - dt.timedelta(days=history_days)) for cut, end in ends.items()}
    return events.withColumns(
        {_place(cut): F.when(F.col("event_at") >= at, F.col(_place(cut))) for cut, at in oldest.items()}
    )


def is_seen(cut: str) -> Column:
    """Whether the cut sees the event (with places)."""
    return F.col(_place(cut)).isNotNull()


def by_cut(events: DataFrame, cuts: Iterable[str]) -> DataFrame:
    """One row for each event (with places) and cut that sees it: `cut` and `place`."""
    places = [F.struct(F.lit(cut).alias("cut"), F.col(_place(cut)).alias("place")) for cut in cuts]
    others = [name for name in events.columns if not name.startswith(_PLACE) and name != "split"]
    exploded = events.select(*others, F.inline(F.array(*places)))
    return exploded.where(F.col("place").isNotNull())


def exact(number: Column) -> Column:
    """A decimal of 9 places whose sums do not depend on the order of rows; beyond +-1e18 counts as that."""
    most = F.lit(1e18)
    capped = F.when(number > most, most).when(number < -most, -most).otherwise(number)
    return capped.cast("decimal(28,9)")


def _place(cut: str) -> str:
    return _PLACE + cut


def _start_of(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)


def _unnumbered(kind: str, run_date: dt.date) -> Column:
    return F.lit(
        f"table interactions: an event up to {run_date} has a {kind}_id that {kind}_index lacks; "
        "run build_index for every date that was ingested"
    )


def _or_fail(value: Column, message: Column) -> Column:
    return F.coalesce(value, F.raise_error(message).cast("int"))
