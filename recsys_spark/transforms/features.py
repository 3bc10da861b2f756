"""The feature tables of a night, all cuts in one pass over the events."""

from __future__ import annotations

from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark import tables
from recsys_spark.tables import Table
from recsys_spark.transforms import item_features, item_popularity, user_features
from recsys_spark.transforms.actions import Actions
from recsys_spark.transforms.timelines import CutEnds


class Described(NamedTuple):
    """Whom and what the night knows.

    Attributes:
        profiles: what `user_features.user_profiles` gives.
        items: the known part of the item index.
        catalogue: one row an item.
    """

    profiles: DataFrame
    items: DataFrame
    catalogue: DataFrame


class Sizes(NamedTuple):
    """Of the category vocabulary, and hash buckets of title terms."""

    num_categories: int
    title_buckets: int


class FeatureTables(NamedTuple):
    """The tables of the same names, without their run_date."""

    feature_columns: DataFrame
    item_features: DataFrame
    segment_popularity: DataFrame
    user_features: DataFrame

    def by_table(self) -> list[tuple[Table, DataFrame]]:
        """Each with its table."""
        return [
            (tables.FEATURE_COLUMNS, self.feature_columns),
            (tables.ITEM_FEATURES, self.item_features),
            (tables.SEGMENT_POPULARITY, self.segment_popularity),
            (tables.USER_FEATURES, self.user_features),
        ]


def feature_tables(
    timelines: DataFrame,
    popular: DataFrame,
    described: Described,
    ends: CutEnds,
    sizes: Sizes,
    actions: Actions,
) -> FeatureTables:
    """Build all four.

    Args:
        timelines: users are described by events of any age, items by recent ones.
        popular: what `item_popularity` gives.
        described: users and items.
        ends: end of each cut to build.
        sizes: of the features.
        actions: to hold and to gather frames.
    """
    keep, gather = actions
    described_items = keep(
        item_features.described_items(
            described.items, described.catalogue, popular, ends, sizes.title_buckets
        )
    )
    item_stats = keep(
        item_features.item_statistics(described_items, sizes.num_categories, sizes.title_buckets)
    )
    positions = gather(user_features.category_positions(described_items, item_stats))
    named = gather(item_stats.select("cut", F.size("vocabulary").alias("num_categories")))
    vocabulary = dict(zip(*[named[name].to_pylist() for name in ("cut", "num_categories")], strict=True))
    activity = user_features.user_activity(
        timelines, ends, user_features.item_categories(positions), vocabulary
    )
    described_users = keep(user_features.described_users(described.profiles, activity, ends))
    user_stats = keep(user_features.user_statistics(described_users))
    return FeatureTables(
        item_features.item_columns(item_stats).unionByName(
            user_features.user_columns(user_stats, item_stats)
        ),
        item_features.item_features(described_items, item_stats),
        item_popularity.segment_popularity(popular),
        user_features.user_features(described_users, user_stats, item_stats),
    )
