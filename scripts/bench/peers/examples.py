"""Training examples, written as the features job writes its own: by Spark, in hashed order, into a lake."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys_spark import cli, config
from recsys_spark.lake import Lake
from recsys_spark.tables import DataFile
from recsys_spark.tables.contract import CUT, FLOAT, INT, INTS, RUN_DATE, table
from recsys_spark.training.columns import ColumnType
from recsys_spark.transforms import timelines

LENGTH, VOCABULARY = 50, 100_000
COLUMNS = {
    "user_idx": ColumnType("int32"),
    "item_idx": ColumnType("int32"),
    "label": ColumnType("float32"),
    "history": ColumnType("int32", LENGTH),
}
_TABLE = table(
    "bench_examples",
    [
        ("user_idx", INT, ""),
        ("item_idx", INT, ""),
        ("label", FLOAT, "0 or 1"),
        ("history", INTS, "left-padded with 0"),
        CUT,
        RUN_DATE,
    ],
    key=(),
    partitions=("run_date", "cut"),
)
_DATE = dt.date(2024, 1, 31)


def write(folder: Path, num_rows: int) -> list[DataFile]:
    """Write so many examples into a lake below `folder`; returns the committed files."""
    settings = config.load(["local"], [f"lake.root={folder}", "spark.master=local[2]"])
    spark = cli.session(settings, "bench")
    lake = Lake(str(folder))
    lake.write(spark, _TABLE, _DATE, _rows(spark, num_rows), row_group_rows=settings.features.row_group_rows)
    spark.stop()
    return list(lake.files(_TABLE, _DATE, "night"))


def _rows(spark: SparkSession, num_rows: int) -> DataFrame:
    def drawn(salt: str, limit: int, *more: Column) -> Column:
        return (F.pmod(F.xxhash64("id", F.lit(salt), *more), F.lit(limit)) + 2).cast("int")

    places = F.sequence(F.lit(1), F.lit(LENGTH))
    num_events = drawn("events", LENGTH)
    history = F.transform(
        places,
        lambda place: F.when(place > LENGTH - num_events, drawn("history", VOCABULARY, place)).otherwise(0),
    )
    rows = spark.range(num_rows).select(
        drawn("user", VOCABULARY).alias("user_idx"),
        drawn("item", VOCABULARY).alias("item_idx"),
        F.pmod(F.xxhash64("id", F.lit("label")), F.lit(2)).cast("float").alias("label"),
        history.alias("history"),
        F.lit("night").alias("cut"),
        F.lit(_DATE).alias("run_date"),
    )
    return rows.sortWithinPartitions(timelines.user_order(), "user_idx", "item_idx")
