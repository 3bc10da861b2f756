"""The rules of tonight's lists, counted from the tables alone: no code is shared with what made them."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark.errors import RuleBrokenError
from recsys_spark.evaluation import offered
from recsys_spark.evaluation.counts import counts
from recsys_spark.evaluation.offered import Limits

log = logging.getLogger(__name__)


def broken_rules(
    lists: DataFrame,
    user_features: DataFrame,
    item_features: DataFrame,
    left_out: Mapping[str, DataFrame],
    num_items: int,
    limits: Limits,
) -> DataFrame:
    """One row a rule: `rule`, `num_broken` (lists, or places in lists, that break it).

    Args:
        lists: LISTS of cut night.
        user_features, item_features: of cut night; who is active, what is available.
        left_out: by rule, `user_idx` and the `items` it keeps from the user: SEEN_ITEMS, BLOCKED_ITEMS, ...
        num_items: N.
    """
    own = offered.with_users(lists, user_features)
    each = [rows.select("user_idx", F.explode("items").alias("item_idx")) for rows in left_out.values()]
    every = reduce(DataFrame.unionByName, each).distinct()
    parts = [
        _within_a_list(lists, num_items),
        _users(lists, user_features),
        _items(lists, item_features),
        *[offered.of_users(lists, rows, rule) for rule, rows in left_out.items()],
        offered.of_items(own, item_features, limits),
        offered.of_groups(lists, item_features, limits),
        offered.of_new_items(own, item_features, every, limits),
        offered.short_without_cause(own, item_features, every, num_items, limits),
    ]
    return reduce(DataFrame.unionByName, parts)


def refuse_broken(broken_counts: DataFrame, run_date: dt.date) -> None:
    """Collect what `broken_rules` counted.

    Raises:
        RuleBrokenError: a count is above 0; names each such rule and its count.
    """
    broken = {row["rule"]: row["num_broken"] for row in broken_counts.collect() if row["num_broken"]}
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
    num_reasons = F.size("because")
    uneven_reasons = ~num_reasons.eqNullSafe(F.size("because_scores")) | F.coalesce(
        F.when(size > 0, num_reasons % size).otherwise(num_reasons) > 0, F.lit(False)
    )
    sizes = F.array(F.size("scores"), num_placed)
    rules = {
        "list_missing": F.col("items").isNull(),
        "list_too_long": size > num_items,
        "short_without_reason": (size < num_items) & F.col("reason").isNull(),
        "full_with_reason": (size == num_items) & F.col("reason").isNotNull(),
        "duplicate_item": F.size(F.array_distinct("items")) < size,
        "uneven_columns": F.col("items").isNotNull()
        & (F.exists(sizes, lambda other: ~other.eqNullSafe(size)) | uneven_reasons),
        "rising_score": F.exists(F.slice(steps, 1, F.greatest(size - 1, F.lit(0))), lambda falls: ~falls),
        "bad_score": has_bad_score,
    }
    return counts(lists, rules)


def _users(lists: DataFrame, user_features: DataFrame) -> DataFrame:
    listed = lists.groupBy("user_idx", "user_id").agg(F.count(F.lit(1)).alias("num_lists"))
    active = user_features.where("is_active").select("user_idx", "user_id", F.lit(True).alias("is_active"))
    both = listed.join(active, ["user_idx", "user_id"], how="full")
    rules = {
        "active_user_without_list": F.col("num_lists").isNull(),
        "list_of_inactive_user": F.col("is_active").isNull(),
        "duplicate_user": F.col("num_lists") > 1,
    }
    return counts(both, rules)


def _items(lists: DataFrame, item_features: DataFrame) -> DataFrame:
    places = lists.select(F.explode("items").alias("item_idx")).groupBy("item_idx").count()
    known = item_features.select("item_idx", "item_id", "is_available")
    rules = {
        "unknown_item": F.col("item_id").isNull(),
        "unavailable_item": F.col("item_id").isNotNull() & ~F.coalesce("is_available", F.lit(False)),
    }
    return counts(places.join(known, "item_idx", how="left"), rules, F.col("count"))
