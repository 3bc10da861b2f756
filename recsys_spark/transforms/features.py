"""The feature tables of a night, all cuts in one pass over the events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from pyspark.sql import DataFrame

from recsys_spark.transforms import item_features, popularity, user_features
from recsys_spark.transforms.events import CutEnds


class FeatureTables(NamedTuple):
    """The tables of the same names, without their run_date; `popular` is what they share."""

    feature_columns: DataFrame
    item_features: DataFrame
    segment_popularity: DataFrame
    user_features: DataFrame
    popular: DataFrame


def feature_tables(
    whole: DataFrame,
    recent: DataFrame,
    *,
    users: DataFrame,
    items: DataFrame,
    listed: DataFrame,
    catalogue: DataFrame,
    ends: CutEnds,
    half_life_days: float,
    num_categories: int,
    title_buckets: int,
    active_days: Mapping[str, int | None],
    num_partitions: int,
    keep: Callable[[DataFrame], DataFrame],
) -> FeatureTables:
    """Build all four.

    Args:
        whole: events with places, of any age: what users are described by.
        recent: those within the history window: what items are described by.
        users: the known part of the user index.
        items: the known part of the item index.
        listed: current rows of USERS.
        catalogue: one row an item.
        ends: end of each cut to build.
        half_life_days: of popularity.
        num_categories: size of the category vocabulary.
        title_buckets: hash buckets of title terms.
        active_days: per source, see `user_features.user_activity`.
        num_partitions: of `whole`, which is parted by user.
        keep: holds a small frame that is used more than once.
    """
    profiles = user_features.user_profiles(users, listed)
    popular = keep(popularity.popularity(recent, profiles, ends, half_life_days, num_partitions))
    described_items = keep(
        item_features.described_items(
            items, catalogue, popular, popularity.num_users(recent, ends), ends, title_buckets
        )
    )
    item_stats = keep(item_features.item_statistics(described_items, num_categories, title_buckets))
    activity = user_features.user_activity(whole, ends, active_days)
    affinity = user_features.category_affinity(whole, described_items, item_stats, ends)
    described_users = keep(user_features.described_users(profiles, activity, affinity, ends))
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
