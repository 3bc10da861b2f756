"""The constant [V, F] matrix of items: categories, title terms, and numbers."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from recsys_spark.transforms.events import cut_end
from recsys_spark.transforms.item_popularity import EVERYBODY
from recsys_spark.transforms.numbers import indicator_columns, scale, scaled, scaled_columns, with_positions
from recsys_spark.transforms.timelines import CutEnds
from recsys_spark.transforms.titles import idf, tf_idf, title_terms

EVENT_NUMBERS = ("age_days", "log_popularity")  # of an item's events
NUMBERS = (*EVENT_NUMBERS, "price", "year")


def described_items(
    items: DataFrame,
    catalogue: DataFrame,
    popular: DataFrame,
    ends: CutEnds,
    title_buckets: int,
) -> DataFrame:
    """One row a cut and known item: catalogue entry, counts, raw numbers and title terms.

    Args:
        items: the known part of the item index.
        catalogue: one row an item; an item that no catalogue names is available.
        popular: what `item_popularity` gives.
        ends: end of each cut to build.
        title_buckets: hash buckets of title terms.
    """
    entries = catalogue.select(
        "item_id", "title", "categories", "price", "year", "is_available", "seller", "segments", "min_age"
    )
    counts = popular.where(F.col("segment") == EVERYBODY).drop("segment")
    age_seconds = F.unix_seconds(cut_end(ends)) - F.unix_seconds("first_at")
    return (
        items.select("item_id", "item_idx")
        .join(entries, "item_id", how="left")
        .withColumn("cut", F.explode(F.array(*map(F.lit, ends))))
        .join(counts, ["cut", "item_idx"], how="left")
        .select(
            "cut",
            "item_idx",
            "item_id",
            "title",
            F.coalesce("categories", F.array().cast("array<string>")).alias("categories"),
            F.coalesce("is_available", F.lit(True)).alias("is_available"),
            "seller",
            F.coalesce("segments", F.array().cast("array<string>")).alias("segments"),
            "min_age",
            F.coalesce("num_events", F.lit(0)).cast("long").alias("num_events"),
            F.coalesce("num_users", F.lit(0)).cast("long").alias("num_users"),
            F.coalesce("popularity", F.lit(0.0)).alias("popularity"),
            (age_seconds / 86400).alias("age_days"),
            F.log1p("popularity").alias("log_popularity"),
            "price",
            F.col("year").cast("double").alias("year"),
            title_terms(F.col("title"), max(title_buckets, 1)).alias("terms"),
        )
    )


def item_statistics(described: DataFrame, num_categories: int, title_buckets: int) -> DataFrame:
    """One row a cut: vocabulary (array of categories), idf (array by title bucket), scale of each number.

    All are taken over items with events before the cut, so that nothing later changes them. The most
    frequent categories come first, ties by name.
    """
    is_trained = F.col("num_events") > 0
    rank = F.row_number().over(Window.partitionBy("cut").orderBy(F.desc("count"), "category"))
    by_category = described.where(is_trained).select("cut", F.explode("categories").alias("category"))
    vocabulary = (
        by_category.groupBy("cut", "category")
        .count()
        .withColumn("rank", rank)
        .where(F.col("rank") <= num_categories)
        .groupBy("cut")
        .agg(F.sort_array(F.collect_list(F.struct("rank", "category"))).alias("ranked"))
    )
    # As text: a call of the JVM for each part of each bucket takes longer than the query.
    has_term = [f"num_events > 0 AND array_contains(terms, {bucket})" for bucket in range(title_buckets)]
    num_with = F.expr(f"array({', '.join(f'count_if({condition})' for condition in has_term)})")
    return (
        described.groupBy("cut")
        .agg(
            F.count_if(is_trained & (F.size("terms") > 0)).alias("num_titles"),
            num_with.cast("array<long>").alias("num_titles_with"),
            *[scale(F.when(is_trained, F.col(number))).alias(f"{number}_scale") for number in NUMBERS],
        )
        .withColumn("idf", idf(F.col("num_titles"), F.col("num_titles_with")))
        .join(vocabulary, "cut", how="left")
        .withColumn("vocabulary", F.coalesce("ranked.category", F.array().cast("array<string>")))
        .drop("num_titles", "num_titles_with", "ranked")
    )


def item_features(described: DataFrame, item_stats: DataFrame) -> DataFrame:
    """ITEM_FEATURES without its run_date.

    `features` = 1 or 0 for each category of the vocabulary, TF-IDF of each title bucket, numbers scaled.
    """
    one_hot = F.transform("vocabulary", lambda name: F.array_contains("categories", name).cast("float"))
    return described.join(F.broadcast(item_stats), "cut", how="inner").select(
        "item_idx",
        "item_id",
        "title",
        "categories",
        "is_available",
        "seller",
        "segments",
        "min_age",
        "num_events",
        "num_users",
        "popularity",
        F.concat(one_hot, tf_idf(F.col("terms"), F.col("idf")), scaled(NUMBERS)).alias("features"),
        "cut",
    )


def is_content(name: str) -> bool:
    """Whether also an item without an event has the feature of this name."""
    return name.removeprefix("has_") not in EVENT_NUMBERS


def item_columns(item_stats: DataFrame) -> DataFrame:
    """The item rows of FEATURE_COLUMNS without their run_date."""
    columns = F.concat(
        indicator_columns(F.transform("vocabulary", lambda name: F.concat(F.lit("category:"), name))),
        indicator_columns(
            F.transform("idf", lambda _, bucket: F.concat(F.lit("title:"), bucket.cast("string")))
        ),
        scaled_columns(NUMBERS),
    )
    return with_positions(item_stats, "item", columns)
