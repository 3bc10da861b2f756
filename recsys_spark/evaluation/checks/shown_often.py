"""What earlier nights showed a user too often."""

from __future__ import annotations

import datetime as dt

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def shown_often(
    recommendations: DataFrame,
    user_features: DataFrame,
    item_features: DataFrame,
    run_date: dt.date,
    of_nights: int,
    max_nights: int,
) -> DataFrame:
    """`user_idx` and the `items` that stood in the user's lists of `max_nights` nights or more.

    Args:
        recommendations: of nights before the run date.
        of_nights: nights before the run date that count.
    """
    age = F.date_diff(F.lit(run_date), "run_date")
    nights = recommendations.where(age.between(1, of_nights))
    listed = nights.select("user_id", F.explode(F.array_distinct("items.item_id")).alias("item_id"))
    return (
        listed.groupBy("user_id", "item_id")
        .count()
        .where(F.col("count") >= max_nights)
        .join(user_features, "user_id", how="inner")
        .join(item_features, "item_id", how="inner")
        .groupBy("user_idx")
        .agg(F.collect_set("item_idx").alias("items"))
    )
