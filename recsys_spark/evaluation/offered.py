"""The rules of settings and sources, counted from the tables alone: no code is shared with what keeps them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys_spark.evaluation.counts import counts

SAMPLED_LISTS = 1000  # short lists whose caps are looked at item by item
NEW_ITEMS = "new_items"


class Limits(NamedTuple):
    """The rules of a run that settings give; conf/base.yaml explains each."""

    blocked_items: Sequence[str] = ()
    blocked_categories: Sequence[str] = ()
    max_per_category: int = 0
    max_per_seller: int = 0
    num_new_items: int = 0
    new_item_events: int = 0


def with_users(lists: DataFrame, user_features: DataFrame) -> DataFrame:
    """Add `user_segment` and `age`."""
    users = user_features.select("user_idx", F.col("segment").alias("user_segment"), "age")
    return lists.join(users, "user_idx", how="left")


def may_get() -> Column:
    """Whether a user (`user_segment`, `age`) may get an item (`segments`, `min_age`)."""
    everybody = F.coalesce(F.size("segments"), F.lit(0)) <= 0
    right_segment = everybody | F.coalesce(F.array_contains("segments", F.col("user_segment")), F.lit(False))
    limit = F.coalesce("min_age", F.lit(0))
    return right_segment & ((limit <= 0) | (F.coalesce("age", F.lit(-1)) >= limit))


def is_blocked(limits: Limits) -> Column:
    """Whether an item (`item_id`, `categories`) is one that nobody gets."""
    names = F.array(*map(F.lit, limits.blocked_categories)).cast("array<string>")
    in_category = F.coalesce(F.arrays_overlap("categories", names), F.lit(False))
    return F.col("item_id").isin(*limits.blocked_items) | in_category


def of_items(lists: DataFrame, item_features: DataFrame, limits: Limits) -> DataFrame:
    """Places with an item that its user may not get, or that nobody may.

    Args:
        lists: as `with_users` gives them.
    """
    blocked = item_features.withColumn("is_blocked", is_blocked(limits))
    narrow = (F.size("segments") > 0) | (F.col("min_age") > 0) | F.col("is_blocked")
    some = blocked.where(narrow).select("item_idx", "segments", "min_age", "is_blocked")
    places = lists.select("user_segment", "age", F.explode("items").alias("item_idx"))
    rules = {"ineligible_item": ~may_get(), "blocked_item": F.col("is_blocked")}
    return counts(places.join(some, "item_idx", how="inner"), rules)


def of_users(lists: DataFrame, left_out: DataFrame, rule: str) -> DataFrame:
    """Places with an item that stands among the `items` of its user in `left_out`."""
    own = left_out.select("user_idx", F.col("items").alias("left_out"))
    again = F.size(F.array_intersect("items", "left_out"))
    return counts(lists.join(own, "user_idx", how="inner"), {rule: again > 0}, again)


def shown_often(
    recommendations: DataFrame,
    user_features: DataFrame,
    item_features: DataFrame,
    cap: tuple[dt.date, int, int],
) -> DataFrame:
    """`user_idx` and `items` that earlier nights showed a user too often.

    Args:
        recommendations: of nights before the run date.
        cap: run date, nights before it that count, and in how many of them an item is too often; 0: never.
    """
    run_date, of_nights, max_nights = cap
    age = F.date_diff(F.lit(run_date), "run_date")
    nights = recommendations.where(F.lit(max_nights > 0) & age.between(1, of_nights))
    placed = nights.select("user_id", F.explode(F.array_distinct("items.item_id")).alias("item_id"))
    return (
        placed.groupBy("user_id", "item_id")
        .count()
        .where(F.col("count") >= max_nights)
        .join(user_features, "user_id", how="inner")
        .join(item_features, "item_id", how="inner")
        .groupBy("user_idx")
        .agg(F.collect_set("item_idx").alias("items"))
    )


def of_groups(lists: DataFrame, item_features: DataFrame, limits: Limits) -> DataFrame:
    """Lists with too many items of one category or seller, by how many groups."""
    groups = (
        ("too_many_of_category", limits.max_per_category, "categories"),
        ("too_many_of_seller", limits.max_per_seller, "sellers"),
    )
    parts = []
    for rule, most, column in groups:
        each = _num_of_group(lists if most else lists.limit(0), _with_sellers(item_features), column)
        parts.append(counts(each, {rule: F.col("count") > most}))
    return parts[0].unionByName(parts[1])


def of_new_items(
    lists: DataFrame, item_features: DataFrame, left_out: DataFrame, limits: Limits
) -> DataFrame:
    """Lists with more new items than their quota, or fewer though there are some; places of new items that are none.

    Where caps are in force they may be why there are fewer: then this is not counted.

    Args:
        lists, left_out: as `short_without_cause` takes them.
    """
    runs = F.filter("filled_by", lambda run: run["source"] == NEW_ITEMS)
    num = F.coalesce(F.get(runs, F.lit(0))["num_items"], F.lit(0))
    lists = lists.withColumn("num_new", num)
    found = lists.where("num_new > 0")
    many = counts(found, {"too_many_new_items": F.col("num_new") > limits.num_new_items})
    last = F.explode(F.slice("items", -F.col("num_new"), F.col("num_new"))).alias("item_idx")
    is_old = F.col("num_events") > limits.new_item_events
    places = found.select(last).join(item_features.where(is_old).select("item_idx"), "item_idx", how="inner")
    is_counted = limits.num_new_items and not (limits.max_per_category or limits.max_per_seller)
    few = lists.where(F.col("num_new") < limits.num_new_items) if is_counted else lists.limit(0)
    new = item_features.where("is_available").where(~is_blocked(limits)).where(~is_old)
    quota = F.least("num_left", F.lit(limits.num_new_items))
    rules = {"too_few_new_items": F.col("num_new") < quota}
    return (
        many.unionByName(counts(places, {"old_new_item": F.lit(True)}))
        .unionByName(counts(_with_num_left(few, new, left_out), rules))
    )  # fmt: skip


def short_without_cause(
    lists: DataFrame, item_features: DataFrame, left_out: DataFrame, num_items: int, limits: Limits
) -> DataFrame:
    """Lists that could be longer: a used item on offer to the user is neither left out nor listed.

    Where caps are in force, a sample of the short lists is looked at item by item: there every other item must
    be of a group that is full.

    Args:
        lists: as `with_users` gives them.
        left_out: `user_idx` and one `item_idx` a row, distinct: seen, blocked or shown too often.
    """
    on_offer = item_features.where("is_available").where(~is_blocked(limits))
    used = on_offer.where(F.col("popularity") > 0)
    short = lists.where(F.size("items") < num_items).withColumn("num_listed", F.size("items"))
    if limits.max_per_category or limits.max_per_seller:
        return _not_full(short, used, left_out, limits)
    left = _with_num_left(short, used, left_out)
    return counts(left, {"short_without_cause": F.col("num_listed") < F.least("num_left", F.lit(num_items))})


def _with_num_left(lists: DataFrame, items: DataFrame, left_out: DataFrame) -> DataFrame:
    """Add `num_left`: how many of the items the user may get and are not left out."""
    sets = items.groupBy("segments", "min_age").agg(F.count(F.lit(1)).alias("num_on_offer"))
    num_on_offer = (
        lists.crossJoin(sets)
        .where(may_get())
        .groupBy("user_idx")
        .agg(F.sum("num_on_offer").alias("num_on_offer"))
    )
    gone = (
        left_out.join(lists.select("user_idx", "user_segment", "age"), "user_idx", how="inner")
        .join(items.select("item_idx", "segments", "min_age"), "item_idx", how="inner")
        .where(may_get())
        .groupBy("user_idx")
        .agg(F.count(F.lit(1)).alias("num_gone"))
    )
    num_left = F.coalesce("num_on_offer", F.lit(0)) - F.coalesce("num_gone", F.lit(0))
    both = lists.join(num_on_offer, "user_idx", how="left").join(gone, "user_idx", how="left")
    return both.withColumn("num_left", num_left)


def _not_full(short: DataFrame, used: DataFrame, left_out: DataFrame, limits: Limits) -> DataFrame:
    """The sample: short lists to which one more item could be added."""
    some = short.orderBy(F.xxhash64("user_idx")).limit(SAMPLED_LISTS)
    facts = _with_sellers(used).select("item_idx", "categories", "sellers", "segments", "min_age")
    full = []
    for most, column in ((limits.max_per_category, "categories"), (limits.max_per_seller, "sellers")):
        names = _num_of_group(some, facts, column).where((F.lit(most) > 0) & (F.col("count") >= most))
        full.append(names.groupBy("user_idx").agg(F.collect_set("name").alias(f"full_{column}")))
    others = some.crossJoin(facts).where(may_get() & ~F.array_contains("items", F.col("item_idx")))
    others = others.join(left_out, ["user_idx", "item_idx"], how="left_anti")
    for rows in full:
        others = others.join(rows, "user_idx", how="left")
    fits = [
        ~F.coalesce(F.arrays_overlap(column, f"full_{column}"), F.lit(False))
        for column in ("categories", "sellers")
    ]
    addable = others.where(fits[0] & fits[1]).select("user_idx").distinct()
    return counts(addable, {"short_without_cause": F.lit(True)})


def _with_sellers(item_features: DataFrame) -> DataFrame:
    """Add `sellers`: an array, as the categories are, of the one seller or of none."""
    return item_features.withColumn("sellers", F.array_compact(F.array("seller")))


def _num_of_group(lists: DataFrame, items: DataFrame, column: str) -> DataFrame:
    """One row a user and `name` in that array column of the listed items, with its `count` of places."""
    groups = items.select("item_idx", F.explode(column).alias("name"))
    places = lists.select("user_idx", F.explode("items").alias("item_idx"))
    return places.join(groups, "item_idx", how="inner").groupBy("user_idx", "name").count()
