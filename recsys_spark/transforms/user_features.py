"""The user profile: activity, recency, values, and the affinity for each category."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys_spark.transforms.events import CutEnds, cut_end, exact
from recsys_spark.transforms.numbers import (
    indicator_columns,
    mean_and_std,
    placed,
    scale,
    scaled,
    scaled_columns,
)

NUMBERS = ("log_num_events", "log_num_items", "recency_days", "mean_value", "std_value")
_ALL = -1  # the place that every item has


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
        events: events by cut, of any age.
        ends: end of each cut.
        active_days: per source; an event of it in so many days before the cut makes active. None: any event.
            The key '' is for sources that it does not name.
    """
    is_fresh = _is_fresh(ends, active_days[""])
    for source, days in active_days.items():
        is_fresh = F.when(F.col("source") == source, _is_fresh(ends, days)).otherwise(is_fresh)
    seconds = F.unix_micros(cut_end(ends)) - F.unix_micros("last_at")
    value = mean_and_std(F.col("value"))
    return (
        events.groupBy("cut", "user_idx")
        .agg(
            F.count(F.lit(1)).alias("num_events"),
            F.max("event_at").alias("last_at"),
            F.bool_or(is_fresh).alias("is_fresh"),
            F.sum(exact(F.col("weight"))).alias("total_weight"),
            value.alias("value"),
        )
        .withColumn("recency_days", seconds / 86_400_000_000)
        .withColumn("log_num_events", F.log1p("num_events"))
        .withColumn("mean_value", F.col("value.mean"))
        .withColumn("std_value", F.col("value.std"))
        .drop("value", "last_at")
    )


def category_affinity(events: DataFrame, described: DataFrame, item_stats: DataFrame) -> DataFrame:
    """One row a cut and user with events: distinct items, and weight by place in the category vocabulary."""
    places = item_stats.select("cut", F.posexplode("vocabulary").alias("place", "category"))
    item_places = (
        described.where(F.col("num_events") > 0)
        .select("cut", "item_idx", F.explode("categories").alias("category"))
        .join(F.broadcast(places), ["cut", "category"], how="inner")
        .groupBy("cut", "item_idx")
        .agg(F.collect_set("place").alias("places"))
    )
    per_item = events.groupBy("cut", "user_idx", "item_idx").agg(
        F.sum(exact(F.col("weight"))).alias("weight")
    )
    places_and_all = F.concat(F.array(F.lit(_ALL)), F.coalesce("places", F.array().cast("array<int>")))
    per_place = (
        per_item.join(item_places, ["cut", "item_idx"], how="left")
        .withColumn("place", F.explode(places_and_all))
        .groupBy("cut", "user_idx", "place")
        .agg(F.sum("weight").cast("double").alias("weight"), F.count(F.lit(1)).alias("num_items"))
    )
    at_place = F.struct("place", "weight")
    return per_place.groupBy("cut", "user_idx").agg(
        F.max(F.when(F.col("place") == _ALL, F.col("num_items"))).alias("num_items"),
        F.map_from_entries(F.collect_list(F.when(F.col("place") != _ALL, at_place))).alias("weight_by_place"),
    )


def described_users(profiles: DataFrame, activity: DataFrame, affinity: DataFrame) -> DataFrame:
    """One row a cut and user, raw numbers and affinities; cut night has every known user."""
    seen = activity.join(affinity, ["cut", "user_idx"], how="inner")
    at_night = profiles.select("user_idx", F.lit("night").alias("cut"))
    silent = at_night.join(activity.select("cut", "user_idx"), ["cut", "user_idx"], how="left_anti")
    return (
        seen.unionByName(silent, allowMissingColumns=True)
        .join(profiles, "user_idx", how="inner")
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
