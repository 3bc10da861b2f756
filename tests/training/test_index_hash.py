"""The hash made here and the one made in Spark are one."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from recsys_spark.training.index_hash import prefix_hash

from recsys_spark.transforms import index

IDS = [(2, "a"), (3, " space, comma"), (4, "\U0001f600é"), (5, "007")]


@pytest.mark.parametrize("num", [0, 2, 4, 6])
def test_both_give_the_same_hash(spark: SparkSession, num: int) -> None:
    frame = spark.createDataFrame([(i, id_) for i, id_ in IDS], "item_idx int, item_id string")
    [row] = index.prefix_hash(frame, "item", num).collect()
    assert row["prefix_hash"] == prefix_hash(IDS, num)


def test_order_does_not_matter_and_a_changed_number_does() -> None:
    assert prefix_hash(IDS[::-1], 6) == prefix_hash(IDS, 6)
    assert prefix_hash([(3, "a"), (2, " space, comma"), *IDS[2:]], 6) != prefix_hash(IDS, 6)


def test_ids_numbered_later_do_not_matter() -> None:
    assert prefix_hash([*IDS, (6, "new")], 6) == prefix_hash(IDS, 6)
