"""Lists, truth and item facts at scale, written as the night's jobs write theirs: by Spark, into a lake.

One user in a hundred has no list and one in ten a short one; half of the truth is listed somewhere.
"""

from __future__ import annotations

import datetime as dt

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys_spark import tables
from recsys_spark.lake import Lake
from recsys_spark.tables import Table

TOP, ITEMS, CATEGORIES, TRUTH = 100, 20_000, 20, 20
DATE = dt.date(2024, 1, 31)
RECOMMENDER = "model"


def write(spark: SparkSession, lake: Lake, num_users: int) -> None:
    """Write LISTS, TRUTH, ITEM_FEATURES and USER_FEATURES of cut test."""
    users = spark.range(2, num_users + 2).select(F.col("id").cast("int").alias("user_idx"))
    lake.write(spark, tables.LISTS, DATE, _fill(tables.LISTS, _lists(users)))
    lake.write(spark, tables.TRUTH, DATE, _fill(tables.TRUTH, _truth(users)))
    lake.write(spark, tables.ITEM_FEATURES, DATE, _fill(tables.ITEM_FEATURES, _items(spark)))
    lake.write(spark, tables.USER_FEATURES, DATE, _fill(tables.USER_FEATURES, users))


def _lists(users: DataFrame) -> DataFrame:
    length = F.when(_drawn("long", 10) == 0, _drawn("length", TOP) + 1).otherwise(TOP)
    items = F.transform(
        F.sequence(F.lit(1), length),
        _item,
    )
    listed = users.where(_drawn("none", 100) > 0)
    return listed.withColumns({"items": items, "recommender": F.lit(RECOMMENDER)})


def _truth(users: DataFrame) -> DataFrame:
    def item(number: Column) -> Column:
        other = F.pmod(F.xxhash64("user_idx", number), F.lit(ITEMS)).cast("int") + 2
        listed = _item(F.pmod(number * 7 + _drawn("place", TOP), F.lit(TOP)) + 1)
        return F.when(number % 2 == 0, listed).otherwise(other)

    numbers = F.sequence(F.lit(1), _drawn("truth", TRUTH) + 1)
    return users.withColumn("items", F.array_distinct(F.transform(numbers, item)))


def _items(spark: SparkSession) -> DataFrame:
    def of(salt: str, limit: int) -> Column:
        return F.pmod(F.xxhash64("item_idx", F.lit(salt)), F.lit(limit)).cast("int")

    first = of("first", CATEGORIES)
    step = of("step", 4) * 2 + 1
    names = F.transform(
        F.sequence(F.lit(0), of("number", 4)),
        lambda n: F.concat(F.lit("category-"), F.pmod(first + n * step, F.lit(CATEGORIES))),
    )
    num_users = F.floor(F.lit(100_000.0) / (of("place", ITEMS) + 1))
    return spark.range(2, ITEMS + 2).select(F.col("id").cast("int").alias("item_idx")).withColumns(
        {
            "item_id": F.concat(F.lit("item-"), F.col("item_idx")),
            "categories": F.array_sort(names),
            "is_available": of("available", 50) > 0,
            "num_users": num_users,
            "popularity": num_users / 3.0,
        }
    )  # fmt: skip


def _item(rank: Column) -> Column:
    """The item of a user at a rank: a step of its own through the catalogue, so no item comes twice."""
    step = _drawn("step", ITEMS // 10) * 10 + 7
    place = _drawn("start", ITEMS).cast("long") + rank * step
    return (F.pmod(place, F.lit(ITEMS)) + 2).cast("int")


def _drawn(salt: str, limit: int) -> Column:
    return F.pmod(F.xxhash64("user_idx", F.lit(salt)), F.lit(limit)).cast("int")


def _fill(table: Table, rows: DataFrame) -> DataFrame:
    """Every column of the table: those not given are null."""
    given = rows.withColumns({"cut": F.lit("test"), "run_date": F.lit(DATE)})
    columns = [
        (F.col(f.name) if f.name in given.columns else F.lit(None)).cast(f.dataType).alias(f.name)
        for f in table.schema
    ]
    return given.select(*columns)
