"""Which list is held against which truth: one row a recommender and judged user.

The frames made here have `user`, `recommender`, `truth` (array of items) and `listed` (array of items by rank,
empty for a user without a list); on test users and items are numbers, of the live lists they are ids. The truth
stands on the left: a user without a list counts, with no hit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

LIVE, CONTROL = "live", "control"  # the groups of users of the live lists


def on_test(truth: DataFrame, lists: DataFrame, recommenders: Sequence[str]) -> DataFrame:
    """Each judged user once for each recommender.

    Args:
        truth: TRUTH of cut test.
        lists: LISTS of cut test.
        recommenders: those compared; one that made no list at all is judged with 0.
    """
    listed = lists.select(F.col("user_idx").alias("user"), "recommender", F.col("items").alias("listed"))
    names = F.explode(F.array(*[F.lit(name) for name in recommenders]))
    return (
        truth.select(F.col("user_idx").alias("user"), F.col("items").alias("truth"))
        .withColumn("recommender", names)
        .join(listed, ["user", "recommender"], how="left")
        .select(
            "user", "recommender", "truth", F.coalesce("listed", F.array().cast("array<int>")).alias("listed")
        )
    )


def since_live(
    interactions: DataFrame,
    known_users: DataFrame,
    recommendations: DataFrame,
    live_date: dt.date,
    run_date: dt.date,
    repeats_allowed: bool,
) -> DataFrame:
    """What happened after the live lists were made, by the users known then, in their group.

    Args:
        interactions: current events that arrived up to `run_date`.
        known_users: `user_id` and `is_control` of every user numbered up to `live_date`.
        recommendations: the rows of `live_date`; their own `is_control` wins over the users'.
        live_date: run date of the live lists; truth starts with the day after it.
        run_date: D; truth ends with it, inclusive.
        repeats_allowed: false leaves out items of which the user has an event up to `live_date`.
    """
    start, end = _midnight_after(live_date), _midnight_after(run_date)
    decides = F.max("event_at") if repeats_allowed else F.min("event_at")
    happened = (
        interactions.where(F.col("event_at") < F.lit(end))
        .groupBy("user_id", "item_id")
        .agg(decides.alias("decides_at"))
        .where(F.col("decides_at") >= F.lit(start))
        .select("user_id", "item_id")
    )
    shown = F.struct(F.col("is_control").alias("was_control"), _by_rank("item_id").alias("listed"))
    every = (
        happened.unionByName(known_users.select("user_id", "is_control"), allowMissingColumns=True)
        .unionByName(recommendations.select("user_id", shown.alias("shown")), allowMissingColumns=True)
    )  # fmt: skip
    of_user = every.groupBy("user_id").agg(
        F.array_sort(F.collect_list("item_id")).alias("truth"),
        F.first("is_control", ignorenulls=True).alias("is_control"),
        F.first("shown", ignorenulls=True).alias("shown"),
    )
    is_control = F.coalesce("shown.was_control", "is_control")
    return of_user.where((F.size("truth") > 0) & F.col("is_control").isNotNull()).select(
        F.col("user_id").alias("user"),
        F.when(is_control, F.lit(CONTROL)).otherwise(F.lit(LIVE)).alias("recommender"),
        "truth",
        F.coalesce("shown.listed", F.array().cast("array<string>")).alias("listed"),
    )


def known_users(user_index: DataFrame, live_date: dt.date) -> DataFrame:
    """The users numbered up to `live_date`: only they could have a list."""
    return user_index.where(F.col("run_date") <= F.lit(live_date)).select("user_id")


def _midnight_after(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC) + dt.timedelta(days=1)


def _by_rank(item: str) -> Column:
    return F.sort_array(F.arrays_zip("items.rank", f"items.{item}"))[item]
