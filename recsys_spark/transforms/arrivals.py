"""What a reader may see of everything that has arrived: the newest delivery, one row a key.

A delivery is what one night brought of a source for one table. Files refused whole
(their reason begins with `file_`) are no delivery: an older sound one stays in force.
"""

from __future__ import annotations

import datetime as dt

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from recsys_spark.transforms.actions import Actions

WHOLE_FILE = "file_"
_MOST_REPEATED = 1_000_000  # keys, 8 bytes each, that every executor can hold
KEYS = {"interactions": "row_key", "items": "item_id", "users": "user_id"}


def only_current(rows: DataFrame, source_files: DataFrame, run_date: dt.date, table_name: str) -> DataFrame:
    """The rows in force on the night of `run_date`, one per source and key.

    Args:
        rows: everything that arrived for the table up to the night; later rows are left out.
        source_files: all of it; rows of other tables and later nights are left out.
        table_name: interactions, items or users.
    """
    return one_a_key(only_in_force(rows, source_files, run_date, table_name), table_name)


def only_in_force(rows: DataFrame, source_files: DataFrame, run_date: dt.date, table_name: str) -> DataFrame:
    """The rows of the deliveries in force on the night of `run_date`; several may have one key.

    Per source, an `increment` file counts as its newest delivery by name, and of `full`
    deliveries only the newest counts, if no file of it was refused whole.

    Args:
        rows, source_files, run_date, table_name: as `only_current` takes them.
    """
    live = _live_files(source_files, run_date, table_name)
    in_force = rows.join(F.broadcast(live), ["source", "file_name", "run_date"], how="left_semi")
    return in_force.select(*rows.columns)


def current_events(
    arrived: DataFrame, source_files: DataFrame, run_date: dt.date, num_partitions: int, actions: Actions
) -> DataFrame:
    """`only_current` of interactions: few keys come twice as a rule, and many events are not sorted to find those.

    Args:
        arrived, source_files, run_date: as `only_current` takes them.
        num_partitions: 1: there are so few events that they are sorted at once.
        actions: to hold and to count what `repeated_keys` gives.
    """
    name = "interactions"
    in_force = only_in_force(arrived, source_files, run_date, name)
    if num_partitions == 1:
        return one_a_key(in_force, name)
    repeated = actions.keep(repeated_keys(in_force, name, num_partitions))
    [num_repeated] = actions.gather(repeated.agg(F.count("hash").alias("num")))["num"].to_pylist()
    if num_repeated == 0:
        return in_force
    return one_a_key(in_force, name, repeated if num_repeated <= _MOST_REPEATED else None)


def one_a_key(in_force: DataFrame, table_name: str, repeated: DataFrame | None = None) -> DataFrame:
    """One row per source and key: of several the newest arrival, then the first by file name and record.

    Args:
        in_force: what `only_in_force` gives.
        table_name: interactions, items or users.
        repeated: what `repeated_keys` gives, if they are few: they are sent to every executor, and all rows
            with other keys stay where they are. None: every row is shuffled and sorted by its key.
    """
    if repeated is not None:
        hashed = in_force.withColumn("hash", _hash(table_name))
        once = hashed.join(F.broadcast(repeated), "hash", how="left_anti").drop("hash")
        several = hashed.join(F.broadcast(repeated), "hash", how="left_semi").drop("hash")
        return once.unionByName(one_a_key(several, table_name))
    key = ["source", KEYS[table_name]]
    return _newest(in_force, key, F.col("run_date").desc()).select(*in_force.columns)


def repeated_keys(in_force: DataFrame, table_name: str, num_partitions: int) -> DataFrame:
    """A column `hash`: of every key that several rows have, and perhaps of a few others.

    Args:
        in_force: what `only_in_force` gives.
        table_name: interactions, items or users.
        num_partitions: in which the hashes of all keys are counted.
    """
    keys = in_force.select(_hash(table_name).alias("hash")).repartition(num_partitions, "hash")
    return keys.groupBy("hash").count().where(F.col("count") > 1).select("hash")


def catalogue(items: DataFrame, source_files: DataFrame, run_date: dt.date) -> DataFrame:
    """One row per item ever delivered; what no delivery in force holds is not available.

    Of several sources that know an item, one in force goes before a withdrawn one, then
    the newest arrival, then the first source by name.
    """
    live = _live_files(source_files, run_date, "items").withColumn("is_live", F.lit(True))
    marked = items.where(F.col("run_date") <= F.lit(run_date)).join(
        F.broadcast(live), ["source", "file_name", "run_date"], how="left"
    )
    order = [F.col("is_live").isNotNull().desc(), F.col("run_date").desc(), F.col("source").asc()]
    newest = _newest(marked, ["item_id"], *order)
    is_available = F.coalesce(F.col("is_available"), F.lit(True)) & F.coalesce(F.col("is_live"), F.lit(False))
    return newest.withColumn("is_available", is_available).select(*items.columns)


def _live_files(source_files: DataFrame, run_date: dt.date, table_name: str) -> DataFrame:
    """(source, file_name, run_date) of the deliveries in force."""
    here = source_files.where((F.col("table") == table_name) & (F.col("run_date") <= F.lit(run_date)))
    is_refused = F.exists(F.map_keys("num_quarantined"), lambda reason: reason.startswith(WHOLE_FILE))
    is_full = F.col("delivery") == "full"
    night = Window.partitionBy("source", "delivery", "run_date")
    judged = here.withColumn("is_refused", F.coalesce(is_refused, F.lit(False))).withColumn(
        "is_whole", ~F.max("is_refused").over(night)
    )
    sound = judged.where(F.when(is_full, F.col("is_whole")).otherwise(~F.col("is_refused")))
    unit = Window.partitionBy("source", "delivery", F.when(~is_full, F.col("file_name")))
    newest = sound.withColumn("newest", F.max("run_date").over(unit))
    return newest.where(F.col("run_date") == F.col("newest")).select("source", "file_name", "run_date")


def _newest(rows: DataFrame, key: list[str], *order: Column) -> DataFrame:
    window = Window.partitionBy(*key).orderBy(*order, F.col("file_name"), F.col("record"))
    return rows.withColumn("nth", F.row_number().over(window)).where(F.col("nth") == 1).drop("nth")


def _hash(table_name: str) -> Column:
    return F.xxhash64("source", KEYS[table_name])
