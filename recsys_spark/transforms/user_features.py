"""The user profile: activity, recency, values, and the affinity for each category."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark.transforms.arrow_lists import fixed_lists
from recsys_spark.transforms.numbers import (
    NOISE,
    indicator_columns,
    scale,
    scaled,
    scaled_columns,
    with_positions,
)
from recsys_spark.transforms.timelines import DAY, CutEnds, micros
from recsys_spark.transforms.user_items import user_items
from recsys_spark.transforms.whole_users import Ints, Timelines, read_off

NUMBERS = ("log_num_events", "log_num_items", "recency_days", "mean_value", "std_value")
_MOST = 1e18  # a value beyond it counts as that


def user_profiles(users: DataFrame, listed: DataFrame) -> DataFrame:
    """One row a known user: user_idx, user_id, segment ('' when unknown), age, is_listed.

    Args:
        users: of the user index.
        listed: current rows of USERS; of several segments, or ages, that of the first source by name counts.
    """
    segments = listed.groupBy("user_id").agg(
        F.min(F.when(F.col("segment").isNotNull(), F.struct("source", "segment"))).alias("first"),
        F.min(F.when(F.col("age").isNotNull(), F.struct("source", "age"))).alias("first_age"),
        F.lit(True).alias("is_listed"),
    )
    return users.join(segments, "user_id", how="left").select(
        "user_idx",
        "user_id",
        F.coalesce("first.segment", F.lit("")).alias("segment"),
        F.col("first_age.age").alias("age"),
        F.coalesce("is_listed", F.lit(False)).alias("is_listed"),
    )


def segments(profiles: DataFrame) -> DataFrame:
    """user_idx and segment of the users who are in one."""
    return profiles.where(F.col("segment") != "").select("user_idx", "segment")


def user_activity(
    timelines: DataFrame,
    ends: CutEnds,
    categories: Mapping[str, ItemCategories],
    vocabulary: Mapping[str, int],
) -> DataFrame:
    """One row a cut and user with events of any age: counts, recency, moments of the values, share by category.

    Args:
        timelines: what `timelines.timelines` gives.
        ends: end of each cut to build.
        categories: what `item_categories` gives.
        vocabulary: how many categories each cut names.
    """
    ends_at = {cut: micros(end) for cut, end in ends.items()}

    def make(users: Timelines) -> Iterator[pa.RecordBatch]:
        user_of, ever = users.users(), user_items(users, np.arange(users.offsets[-1]))
        value, weight = np.clip(users.of["value"], -_MOST, _MOST), users.of["weight"]
        for cut, end in ends_at.items():
            newest = users.offsets[:-1] + users.seen_from[cut]
            num = users.offsets[1:] - newest
            has, seen = np.flatnonzero(num), users.seen(cut)
            user = user_of[seen]
            mean, std = _mean_and_std(user, value[seen], len(num))
            is_fresh = (
                users.of["event_at"][seen] >= end - users.of["active_days"][seen].astype(np.float64) * DAY
            )
            num_items = np.bincount(ever.user[ever.oldest >= newest[ever.user]], minlength=len(num))
            shares = _shares(
                user,
                users.of["item_idx"][seen],
                weight[seen],
                categories.get(cut),
                (len(num), vocabulary[cut]),
            )
            columns = {
                "user_idx": pa.array(users.user_idx[has]),
                "num_events": pa.array(num[has]),
                "num_items": pa.array(num_items[has]),
                "recency_days": pa.array((end - users.of["event_at"][newest[has]]) / DAY),
                "mean_value": pa.array(mean[has], from_pandas=True),
                "std_value": pa.array(std[has], from_pandas=True),
                "is_fresh": pa.array(np.bincount(user[is_fresh], minlength=len(num))[has] > 0),
                "shares": fixed_lists(shares[has]),
                "cut": pa.repeat(cut, len(has)),
            }
            yield pa.RecordBatch.from_pydict(columns)

    schema = (
        "user_idx int, num_events long, num_items long, recency_days double, mean_value double, std_value double, "
        "is_fresh boolean, shares array<float>, cut string"
    )
    return read_off(timelines, ("item_idx", "event_at", "value", "weight", "active_days"), make, schema)


class ItemCategories(NamedTuple):
    """Of each item by number, where its categories stand in the vocabulary: `positions[offsets[i]:offsets[i + 1]]`."""

    offsets: Ints
    positions: Ints


def category_positions(described: DataFrame, item_stats: DataFrame) -> DataFrame:
    """cut, item_idx and `position` in the category vocabulary, one row a category of a trained item.

    Args:
        described: what `item_features.described_items` gives.
        item_stats: what `item_features.item_statistics` gives.
    """
    positions = item_stats.select("cut", F.posexplode("vocabulary").alias("position", "category"))
    return (
        described.where(F.col("num_events") > 0)
        .select("cut", "item_idx", F.explode(F.array_distinct("categories")).alias("category"))
        .join(F.broadcast(positions), ["cut", "category"], how="inner")
        .select("cut", "item_idx", "position")
    )


def item_categories(rows: pa.Table) -> dict[str, ItemCategories]:
    """`category_positions`, gathered, by cut."""
    by_cut = {}
    for cut in rows["cut"].unique().to_pylist():
        of_cut = rows.filter(pc.equal(rows["cut"], cut)).sort_by(
            [("item_idx", "ascending"), ("position", "ascending")]
        )
        num = np.bincount(of_cut["item_idx"].to_numpy())
        by_cut[cut] = ItemCategories(np.r_[0, np.cumsum(num)], of_cut["position"].to_numpy())
    return by_cut


def described_users(profiles: DataFrame, activity: DataFrame, cuts: Iterable[str]) -> DataFrame:
    """One row a cut and user, raw numbers and affinities; cut night has every known user."""
    has_row = F.col("num_events").isNotNull() | (F.col("cut") == "night")
    return (
        profiles.withColumn("cut", F.explode(F.array(*map(F.lit, cuts))))
        .join(activity, ["cut", "user_idx"], how="left")
        .where(has_row)
        .withColumn("log_num_events", F.log1p("num_events"))
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
    none = F.transform("vocabulary", lambda _: F.lit(0.0).cast("float"))
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
            F.concat(scaled(NUMBERS), F.coalesce("shares", none)).alias("features"),
            "cut",
        )
    )


def user_columns(user_stats: DataFrame, item_stats: DataFrame) -> DataFrame:
    """The user rows of FEATURE_COLUMNS without their run_date."""
    shares = indicator_columns(F.transform("vocabulary", lambda name: F.concat(F.lit("affinity:"), name)))
    stats = user_stats.join(item_stats.select("cut", "vocabulary"), "cut", how="inner")
    return with_positions(stats, "user", F.concat(scaled_columns(NUMBERS), shares))


def _mean_and_std(
    user: Ints, value: NDArray[np.float64], num_users: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[U] each, NaN for users without a value."""
    user, value = user[~np.isnan(value)], value[~np.isnan(value)]
    num = np.bincount(user, minlength=num_users)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN
        mean = np.bincount(user, value, num_users) / num
        variance = np.bincount(user, (value - mean[user]) ** 2, num_users) / num
    is_noise = variance <= (variance + mean**2) * NOISE
    return mean, np.sqrt(np.where(is_noise, 0.0, variance))


def _shares(
    user: Ints,
    item_idx: Ints,
    weight: NDArray[np.float64],
    of_items: ItemCategories | None,
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """[users, categories], the share of the users' weight that went to items of each category."""
    if of_items is None:
        return np.zeros(shape, np.float32)
    total = np.bincount(user, weight, shape[0])
    capped = np.minimum(item_idx, len(of_items.offsets) - 2)
    num = np.where(item_idx == capped, np.diff(of_items.offsets)[capped], 0)
    event = np.repeat(np.arange(len(user)), num)
    nth = np.arange(len(event)) - np.repeat(np.cumsum(num) - num, num)
    cell = user[event] * shape[1] + of_items.positions[of_items.offsets[item_idx[event]] + nth]
    by_category = np.bincount(cell, weight[event], shape[0] * shape[1]).reshape(shape)
    with np.errstate(invalid="ignore"):  # users without an event are left out later
        return (by_category / total[:, None]).astype(np.float32)
