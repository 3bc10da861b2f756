"""The rules of tonight's lists, counted from the tables alone: no code is shared with what made them."""

from __future__ import annotations

import datetime as dt
import logging

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys_spark.errors import RuleBrokenError

log = logging.getLogger(__name__)


def broken_rules(
    lists: DataFrame,
    user_features: DataFrame,
    item_features: DataFrame,
    seen_items: DataFrame,
    num_items: int,
) -> DataFrame:
    """One row a rule: `rule`, `num_broken` (lists, or places in lists, that break it).

    Args:
        lists: LISTS of cut night.
        user_features, item_features: of cut night; who is active, what is available.
        seen_items: of cut night; a frame without rows when repeats are allowed.
        num_items: N.
    """
    parts = [
        _within_a_list(lists, num_items),
        _users(lists, user_features),
        _items(lists, item_features),
        _seen(lists, seen_items),
        _short(lists, item_features, seen_items, num_items),
    ]
    together = parts[0]
    for part in parts[1:]:
        together = together.unionByName(part)
    return together


def refuse_broken(counts: DataFrame, run_date: dt.date) -> None:
    """Collect what `broken_rules` counted.

    Raises:
        RuleBrokenError: a count is above 0; names each such rule and its count.
    """
    broken = {row["rule"]: row["num_broken"] for row in counts.collect() if row["num_broken"]}
    if broken:
        told = ", ".join(f"{rule} {count}" for rule, count in sorted(broken.items()))
        raise RuleBrokenError(f"table lists, {run_date}, cut night: {told}; nothing was published")
    log.info("rules_kept run_date=%s", run_date)


def _within_a_list(lists: DataFrame, num_items: int) -> DataFrame:
    size, scores = F.size("items"), F.col("scores")
    later = F.slice(scores, 2, F.greatest(size, F.lit(1)))
    steps = F.zip_with(later, scores, lambda score, before: (score <= before) | score.isNull())
    has_bad_score = F.exists(scores, lambda score: score.isNull() | F.isnan(score))
    num_placed = F.aggregate("filled_by", F.lit(0), lambda num, source: num + source["num_items"])
    num_reasons = F.when(F.col("because").isNotNull(), F.least(F.size("because"), F.size("because_scores")))
    sizes = F.array(F.size("scores"), num_placed, F.coalesce(num_reasons, size))
    rules = {
        "list_missing": F.col("items").isNull(),
        "list_too_long": size > num_items,
        "short_without_reason": (size < num_items) & F.col("reason").isNull(),
        "full_with_reason": (size == num_items) & F.col("reason").isNotNull(),
        "duplicate_item": F.size(F.array_distinct("items")) < size,
        "uneven_columns": F.col("items").isNotNull() & F.exists(sizes, lambda other: ~other.eqNullSafe(size)),
        "rising_score": F.exists(F.slice(steps, 1, F.greatest(size - 1, F.lit(0))), lambda falls: ~falls),
        "bad_score": has_bad_score,
    }
    return _counts(lists, rules)


def _users(lists: DataFrame, user_features: DataFrame) -> DataFrame:
    listed = lists.groupBy("user_idx", "user_id").agg(F.count(F.lit(1)).alias("num_lists"))
    active = user_features.where("is_active").select("user_idx", "user_id", F.lit(True).alias("is_active"))
    both = listed.join(active, ["user_idx", "user_id"], how="full")
    rules = {
        "active_user_without_list": F.col("num_lists").isNull(),
        "list_of_inactive_user": F.col("is_active").isNull(),
        "duplicate_user": F.col("num_lists") > 1,
    }
    return _counts(both, rules)


def _items(lists: DataFrame, item_features: DataFrame) -> DataFrame:
    places = lists.select(F.explode("items").alias("item_idx")).groupBy("item_idx").count()
    known = item_features.select("item_idx", "item_id", "is_available")
    rules = {
        "unknown_item": F.col("item_id").isNull(),
        "unavailable_item": F.col("item_id").isNotNull() & ~F.coalesce("is_available", F.lit(False)),
    }
    return _counts(places.join(known, "item_idx", how="left"), rules, F.col("count"))


def _seen(lists: DataFrame, seen_items: DataFrame) -> DataFrame:
    seen = seen_items.select("user_idx", F.col("items").alias("seen"))
    again = F.size(F.array_intersect("items", "seen"))
    return _counts(lists.join(seen, "user_idx", how="inner"), {"seen_item": again > 0}, again)


def _short(lists: DataFrame, item_features: DataFrame, seen_items: DataFrame, num_items: int) -> DataFrame:
    """A list may be short only when it holds all that was left: available items with a popularity, unseen."""
    eligible = item_features.where("is_available AND popularity > 0").select("item_idx")
    short = lists.where(F.size("items") < num_items).select("user_idx", F.size("items").alias("size"))
    used_up = (
        seen_items.join(short, "user_idx", how="left_semi")
        .select("user_idx", F.explode("items").alias("item_idx"))
        .join(eligible, "item_idx", how="left_semi")
        .groupBy("user_idx")
        .agg(F.count(F.lit(1)).alias("num_seen"))
    )
    num_eligible = eligible.agg(F.count(F.lit(1)).alias("num_eligible"))
    left = F.col("num_eligible") - F.coalesce("num_seen", F.lit(0))
    rules = {"short_without_cause": F.col("size") < F.least(left, F.lit(num_items))}
    return _counts(short.join(used_up, "user_idx", how="left").crossJoin(num_eligible), rules)


def _counts(rows: DataFrame, rules: dict[str, Column], weight: Column | None = None) -> DataFrame:
    one = F.lit(1) if weight is None else weight
    sums = [
        F.coalesce(F.sum(F.when(rule, one)), F.lit(0)).cast("long").alias(name)
        for name, rule in rules.items()
    ]
    names = F.map_from_arrays(
        F.array(*[F.lit(name) for name in rules]), F.array(*[F.col(name) for name in rules])
    )
    return rows.agg(*sums).select(F.explode(names).alias("rule", "num_broken"))
