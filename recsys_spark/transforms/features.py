"""The feature tables of a night, all cuts in one pass over the events."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark.transforms import item_features, popularity, user_features
from recsys_spark.transforms.timelines import CutEnds


class FeatureTables(NamedTuple):
    """The tables of the same names, without their run_date; `popular` is what they share."""

    feature_columns: DataFrame
    item_features: DataFrame
    segment_popularity: DataFrame
    user_features: DataFrame
    popular: DataFrame


def feature_tables(
    timelines: DataFrame,
    *,
    users: DataFrame,
    items: DataFrame,
    listed: DataFrame,
    catalogue: DataFrame,
    ends: CutEnds,
    half_life_days: float,
    num_categories: int,
    title_buckets: int,
    keep: Callable[[DataFrame], DataFrame],
    gather: Callable[[DataFrame], pa.Table],
) -> FeatureTables:
    """Build all four.

    Args:
        timelines: users are described by events of any age, items by recent ones.
        users: the known part of the user index.
        items: the known part of the item index.
        listed: current rows of USERS.
        catalogue: one row an item.
        ends: end of each cut to build.
        half_life_days: of popularity.
        num_categories: size of the category vocabulary.
        title_buckets: hash buckets of title terms.
        keep: holds a small frame that is used more than once.
        gather: brings a frame with a few rows an item to the driver.
    """
    profiles = user_features.user_profiles(users, listed)
    popular = keep(popularity.popularity(timelines, ends, half_life_days))
    described_items = keep(item_features.described_items(items, catalogue, popular, ends, title_buckets))
    item_stats = keep(item_features.item_statistics(described_items, num_categories, title_buckets))
    places = user_features.item_places(gather(user_features.places_of_items(described_items, item_stats)))
    sizes = gather(item_stats.select("cut", F.size("vocabulary").alias("num_categories")))
    vocabulary = dict(zip(*[sizes[name].to_pylist() for name in ("cut", "num_categories")], strict=True))
    activity = user_features.user_activity(timelines, ends, places, vocabulary)
    described_users = keep(user_features.described_users(profiles, activity, ends))
    user_stats = keep(user_features.user_statistics(described_users))
    return FeatureTables(
        item_features.item_columns(item_stats).unionByName(
            user_features.user_columns(user_stats, item_stats)
        ),
        item_features.item_features(described_items, item_stats),
        popularity.segment_popularity(popular),
        user_features.user_features(described_users, user_stats, item_stats),
        popular,
    )
