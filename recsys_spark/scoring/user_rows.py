"""The users of a night as frames: who gets a list, and what ranking has to know of each."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys_spark.forms.form import BAG, HISTORY

LEFT_OUT = ("seen", "blocked", "shown")  # lists of item_idx that a user may not get, by why
BAG_COLUMNS = ("bag_items", "bag_weights")

_PARTS_OF_ONE = 1_000_000


def only_active(user_features: DataFrame) -> DataFrame:
    """The users who get a list tonight."""
    return user_features.where("is_active")


def only_judged(user_features: DataFrame, truth: DataFrame) -> DataFrame:
    """The users whose list will be compared with what they did next."""
    return user_features.join(truth.select("user_idx"), "user_idx", how="left_semi")


def with_control(users: DataFrame, share: float) -> DataFrame:
    """Add `is_control`: true for a share of users, by hash of the user id, the same ones every night."""
    return users.withColumn("is_control", is_in_share(share, "control"))


def is_in_share(share: float, *salt: str) -> Column:
    """True for a share of users, by hash of `user_id` and the salt."""
    part = F.pmod(F.xxhash64(*map(F.lit, salt), "user_id"), F.lit(_PARTS_OF_ONE))
    return part < F.lit(round(share * _PARTS_OF_ONE))


class About(NamedTuple):
    """What is known of users of one cut, a row a user, as tables hold it.

    Attributes:
        histories: HISTORIES.
        seen, blocked, shown: `user_idx` and `items` that a user may not get: SEEN_ITEMS, BLOCKED_ITEMS, `shown_often`;
            None: nothing.
        bags: BAGS; None where no model reads them.
    """

    histories: DataFrame
    seen: DataFrame | None
    blocked: DataFrame | None
    shown: DataFrame | None = None
    bags: DataFrame | None = None


def active(user_features: DataFrame, control_share: float, about: About) -> DataFrame:
    """Who gets a list tonight, with the control group and all that ranking has to know."""
    return with_history(with_control(only_active(user_features), control_share), about)


def judged(user_features: DataFrame, truth: DataFrame, about: About) -> DataFrame:
    """Who is judged, with all that ranking has to know; nobody is in the control group."""
    return with_history(with_control(only_judged(user_features, truth), 0.0), about)


def with_history(users: DataFrame, about: About) -> DataFrame:
    """Add the lists of HISTORIES, what users may not get, and bags; null where there is none. What `lists` takes.

    `fingerprint` is null: lists without one are never kept for another night.
    """
    full = users.join(about.histories.select("user_idx", *HISTORY), "user_idx", how="left")
    nothing = F.lit(None).cast("array<int>")
    for name, rows in zip(LEFT_OUT, (about.seen, about.blocked, about.shown), strict=True):
        if rows is None:
            full = full.withColumn(name, nothing)
        else:
            full = full.join(rows.select("user_idx", F.col("items").alias(name)), "user_idx", how="left")
    bags: tuple[str, ...] = ()
    if about.bags is not None:
        bags = BAG_COLUMNS
        items, weights = (
            F.col(name).alias(bag) for name, bag in zip(("items", "weights"), bags, strict=True)
        )
        full = full.join(about.bags.select("user_idx", items, weights), "user_idx", how="left")
    return full.select(
        "user_idx",
        "user_id",
        F.coalesce("segment", F.lit("")).alias("segment"),
        "age",
        "is_control",
        *HISTORY,
        *LEFT_OUT,
        *bags,
        F.lit(None).cast("long").alias("fingerprint"),
    )


def read_columns(reads: Collection[str]) -> list[str]:
    """The columns of these frames that a model reads.

    Args:
        reads: as `models.Recommender.reads`.
    """
    return [*(name for name in HISTORY if name in reads), *(BAG_COLUMNS if BAG in reads else ())]


def shown_often(
    recommendations: DataFrame, user_features: DataFrame, item_features: DataFrame, max_nights: int
) -> DataFrame:
    """`user_idx` and the `items` that stood in at least `max_nights` of the user's lists of these nights."""
    places = recommendations.select("user_id", "run_date", F.explode("items.item_id").alias("item_id"))
    often = places.groupBy("user_id", "item_id").agg(F.countDistinct("run_date").alias("num_nights"))
    return (
        often.where(F.col("num_nights") >= max_nights)
        .join(user_features.select("user_id", "user_idx"), "user_id", how="inner")
        .join(item_features.select("item_id", "item_idx"), "item_id", how="inner")
        .groupBy("user_idx")
        .agg(F.sort_array(F.collect_set("item_idx")).alias("items"))
    )
