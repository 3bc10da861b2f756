from __future__ import annotations

import datetime as dt

from pyspark.sql import SparkSession

from recsys_spark.evaluation import splits
from recsys_spark.transforms import item_popularity
from tests.timelines import D, timelines_of


def test_a_user_who_came_again_counts_once_in_each_cut_that_sees_an_event(spark: SparkSession) -> None:
    first, again = (dt.datetime(2024, 5, day, tzinfo=dt.UTC) for day in (2, 31))
    rows = [(7, 5, at, 1, 1.0, 1.0, "s", n) for n, at in enumerate((first, again))]
    popular = item_popularity.item_popularity(
        timelines_of(spark, rows), splits.cut_ends(splits.Split(D, "time", 7, 7)), 10.0
    )
    got = {row.cut: (row.num_events, row.num_users) for row in popular.collect()}
    assert got == {"valid": (1, 1), "test": (1, 1), "night": (2, 1)}
