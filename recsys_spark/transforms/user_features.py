"""The user profile: activity, recency, values, and the affinity for each category."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys_spark.transforms.events import CutEnds, by_cut, cut_end, exact, is_seen
from recsys_spark.transforms.numbers import (
    indicator_columns,
    mean_and_std,
    moments,
    placed,
    scale,
    scaled,
    scaled_columns,
)

NUMBERS = ("log_num_events", "log_num_items", "recency_days", "mean_value", "std_value")


def user_profiles(users_known: DataFrame, listed: DataFrame) -> DataFrame:
    """One row a known user: user_idx, user_id, segment ('' when unknown), age, is_listed.

    Args:
        users_known: the known part of the user index.
        listed: current rows of USERS; of several segments, or ages, that of the first source by name counts.
    """
    segments = listed.groupBy("user_id").agg(
        F.min(F.when(F.col("segment").isNotNull(), F.struct("source", "segment"))).alias("first"),
        F.min(F.when(F.col("age").isNotNull(), F.struct("source", "age"))).alias("first_age"),
        F.lit(True).alias("is_listed"),
    )
    return users_known.join(segments, "user_id", how="left").select(
        "user_idx",
        "user_id",
        F.coalesce("first.segment", F.lit("")).alias("segment"),
        F.col("first_age.age").alias("age"),
        F.coalesce("is_listed", F.lit(False)).alias("is_listed"),
    )


def user_activity(events: DataFrame, ends: CutEnds, active_days: Mapping[str, int | None]) -> DataFrame:
    """One row a cut and user with events: counts, recency, moments of the values, total weight.

    Args:
        events: events with places, of any age.
        ends: end of each cut.
        active_days: per source; an event of it in so many days before the cut makes active. None: any event.
            The key '' is for sources that it does not name.
    """
    is_fresh = _is_fresh(ends, active_days[""])
    for source, days in active_days.items():
        is_fresh = F.when(F.col("source") == source, _is_fresh(ends, days)).otherwise(is_fresh)
    seconds = F.unix_micros(cut_end(ends)) - F.unix_micros("last_at")
    value = mean_and_std(F.col("value"))
    numbers = events.withColumns({"value": moments(F.col("value")), "weight": exact(F.col("weight"))})
    return (
        by_cut(numbers, ends)  # exact numbers are costly to make: once an event, not once a cut
        .groupBy("cut", "user_idx")
        .agg(
            F.count(F.lit(1)).alias("num_events"),
            F.max("event_at").alias("last_at"),
            F.bool_or(is_fresh).alias("is_fresh"),
            F.sum("weight").alias("total_weight"),
            value.alias("value"),
        )
        .withColumn("recency_days", seconds / 86_400_000_000)
        .withColumn("log_num_events", F.log1p("num_events"))
        .withColumn("mean_value", F.col("value.mean"))
        .withColumn("std_value", F.col("value.std"))
        .drop("value", "last_at")
    )


def category_affinity(
    events: DataFrame, described: DataFrame, item_stats: DataFrame, cuts: Iterable[str]
) -> DataFrame:
    """One row a cut and user with events: distinct items, and weight by place in the category vocabulary.

    Args:
        events: events with places, of any age.
        described: what `item_features.described_items` gives.
        item_stats: what `item_features.item_statistics` gives.
        cuts: to build.
    """
    cuts = list(cuts)
    weights = [F.sum(F.when(is_seen(cut), F.col("weight"))).alias(cut) for cut in cuts]
    exactly = events.withColumn("weight", exact(F.col("weight")))
    per_item = exactly.groupBy("user_idx", "item_idx").agg(*weights)
    counts = [F.struct(F.lit(cut).alias("cut"), F.count(cut).alias("num_items")) for cut in cuts]
    num_items = (
        per_item.groupBy("user_idx")
        .agg(F.array(*counts).alias("in_cut"))
        .select("user_idx", F.inline("in_cut"))
        .where(F.col("num_items") > 0)
    )
    places = item_stats.select("cut", F.posexplode("vocabulary").alias("place", "category"))
    item_places = (
        described.where(F.col("num_events") > 0)
        .select("cut", "item_idx", F.explode(F.array_distinct("categories")).alias("category"))
        .join(F.broadcast(places), ["cut", "category"], how="inner")
        .groupBy("item_idx")
        .agg(F.collect_list(F.struct("cut", "place")).alias("places"))
    )
    weight_in_cut = F.coalesce(*[F.when(F.col("cut") == cut, F.col(cut)) for cut in cuts])
    by_place = (
        per_item.join(item_places, "item_idx", how="inner")
        .select("user_idx", *cuts, F.inline("places"))
        .withColumn("weight", weight_in_cut)
        .where(F.col("weight").isNotNull())
        .groupBy("cut", "user_idx", "place")
        .agg(F.sum("weight").cast("double").alias("weight"))
        .groupBy("cut", "user_idx")
        .agg(F.map_from_entries(F.collect_list(F.struct("place", "weight"))).alias("weight_by_place"))
    )
    return num_items.join(by_place, ["cut", "user_idx"], how="left")


def described_users(
    profiles: DataFrame, activity: DataFrame, affinity: DataFrame, cuts: Iterable[str]
) -> DataFrame:
    """One row a cut and user, raw numbers and affinities; cut night has every known user."""
    has_row = F.col("num_events").isNotNull() | (F.col("cut") == "night")
    return (
        profiles.withColumn("cut", F.explode(F.array(*map(F.lit, cuts))))
        .join(activity.join(affinity, ["cut", "user_idx"], how="inner"), ["cut", "user_idx"], how="left")
        .where(has_row)
        .withColumn("log_num_items", F.log1p("num_items"))
    )


def user_statistics(described: DataFrame) -> DataFrame:
    """One row a cut: the scale of each number, over users with events."""
    return described.groupBy("cut").agg(
        *[scale(F.col(number)).alias(f"{number}_scale") for number in NUMBERS]
    )


def user_features(described: DataFrame, user_stats: DataFrame, item_stats: DataFrame) -> DataFrame:
    """USER_FEATURES without its run_date.

    `features` = numbers scaled, then the share of the user's weight in each category of the vocabulary.
    """
    weight = F.col("total_weight").cast("double")
    shares = F.transform(
        "vocabulary",
        lambda _, place: F.coalesce(F.try_element_at("weight_by_place", place) / weight, F.lit(0.0)).cast(
            "float"
        ),
    )
    return (
        described.join(F.broadcast(user_stats), "cut", how="inner")
        .join(F.broadcast(item_stats.select("cut", "vocabulary")), "cut", how="inner")
        .select(
            "user_idx",
            "user_id",
            "segment",
            "age",
            (F.coalesce("is_fresh", F.lit(False)) | F.col("is_listed")).alias("is_active"),
            F.coalesce("num_events", F.lit(0)).cast("long").alias("num_events"),
            F.coalesce("num_items", F.lit(0)).cast("long").alias("num_items"),
            "recency_days",
            "mean_value",
            "std_value",
            F.concat(scaled(NUMBERS), shares).alias("features"),
            "cut",
        )
    )


def user_columns(user_stats: DataFrame, item_stats: DataFrame) -> DataFrame:
    """The user rows of FEATURE_COLUMNS without their run_date."""
    shares = indicator_columns(F.transform("vocabulary", lambda name: F.concat(F.lit("affinity:"), name)))
    stats = user_stats.join(item_stats.select("cut", "vocabulary"), "cut", how="inner")
    return placed(stats, "user", F.concat(scaled_columns(NUMBERS), shares))


def _is_fresh(ends: CutEnds, days: int | None) -> Column:
    if days is None:
        return F.lit(True)
    return F.col("event_at") >= cut_end(ends) - F.make_dt_interval(F.lit(days))
