from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.testing import assertDataFrameEqual

from recsys_spark.transforms import content_hash, examples, transition_counts
from recsys_spark.transforms.transition_counts import UNIT
from tests.timelines import timelines_of

WINDOW = "items array<int>, weights array<float>, mask array<int>"
COUNTS = "item_idx int, next_item_idx int, count bigint"


def windows(spark: SparkSession, rows: Sequence[Any]) -> DataFrame:
    return spark.createDataFrame([(items, [*map(float, w)], mask) for items, w, mask in rows], WINDOW)


def counted(frame: DataFrame, max_lag: int, lag_decay: float) -> dict[tuple[int, int], int]:
    rows = transition_counts.transition_counts(frame, max_lag, lag_decay).collect()
    found = {(row.item_idx, row.next_item_idx): row["count"] for row in rows}
    assert len(found) == len(rows)
    return found


def brute_force(rows: Sequence[Any], max_lag: int, lag_decay: float) -> Counter[tuple[int, int]]:
    found: Counter[tuple[int, int]] = Counter()
    for items, weights, mask in rows:
        for q, target in enumerate(items):
            for lag in range(1, min(max_lag, q) + 1):
                item = items[q - lag]
                if mask[q] and item > 1 and target > 1 and item != target:
                    # As in the frame, the weight is a float32.
                    found[item, target] += int(
                        UNIT * lag_decay ** (lag - 1) * float(np.float32(weights[q])) + 0.5
                    )
    return found


def test_a_pair_counts_less_the_further_it_is_apart_and_not_beyond_the_lag(spark: SparkSession) -> None:
    frame = windows(spark, [([0, 7, 8, 9, 5], [0, 1, 1, 1, 1], [0, 0, 1, 1, 1])])
    whole, half = UNIT, UNIT // 2
    assert counted(frame, 2, 0.5) == {
        (7, 8): whole, (8, 9): whole, (9, 5): whole, (7, 9): half, (8, 5): half
    }  # fmt: skip
    assert counted(frame, 1, 0.5) == {(7, 8): whole, (8, 9): whole, (9, 5): whole}
    assert counted(frame, 99, 1.0) == dict.fromkeys(
        [(7, 8), (8, 9), (9, 5), (7, 9), (8, 5), (7, 5)], whole
    )  # fmt: skip


def test_the_targets_weight_counts_and_occurrences_add_up(spark: SparkSession) -> None:
    rows = [([7, 8, 7, 8], [9, 2, 1, 0.25], [0, 1, 1, 1]), ([0, 0, 7, 8], [0, 0, 1, 4], [0, 0, 0, 1])]
    assert counted(windows(spark, rows), 1, 0.5) == {(7, 8): int(6.25 * UNIT), (8, 7): UNIT}


def test_pads_unknown_items_the_item_itself_and_what_is_no_target_do_not_count(spark: SparkSession) -> None:
    rows = [([0, 1, 7, 7, 8, 9], [0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 1])]
    assert counted(windows(spark, rows), 1, 1.0) == {}
    assert counted(windows(spark, [([7], [1], [1]), ([], [], [])]), 1, 1.0) == {}
    assert counted(windows(spark, []), 1, 1.0) == {}


def test_counts_are_rounded_half_up_each_before_they_are_summed(spark: SparkSession) -> None:
    half = 0.5 / UNIT
    rows = [([7, 8], [1, half], [0, 1])] * 3 + [([7, 9], [1, half * 0.99], [0, 1])] * 3
    assert counted(windows(spark, rows), 1, 1.0) == {(7, 8): 3}


def test_equals_brute_force_however_the_windows_are_parted(spark: SparkSession) -> None:
    rng = np.random.default_rng(5)
    rows = []
    for _ in range(120):
        num_pads = int(rng.integers(7))
        items = [0] * num_pads + rng.integers(1, 9, 8 - num_pads).tolist()
        weights = [0.0] * num_pads + rng.random(8 - num_pads).round(3).tolist()
        rows.append((items, weights, [0] * (num_pads + 1) + [1] * (7 - num_pads)))
    expected = dict(brute_force(rows, 4, 0.83))
    for num_partitions in (1, 5):
        assert counted(windows(spark, rows[::-1]).repartition(num_partitions), 4, 0.83) == expected


def test_the_event_that_two_windows_share_is_counted_once(spark: SparkSession) -> None:
    start = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
    rows = [(7, item, start + dt.timedelta(seconds=item), 1, None, 1.0, "s", item) for item in range(2, 7)]
    made = examples.sequence_examples(timelines_of(spark, rows), ["night"], 2).rows()
    assert counted(made, 1, 1.0) == dict.fromkeys([(2, 3), (3, 4), (4, 5), (5, 6)], UNIT)
    assert made.count() == 2


def test_the_greatest_counts_stay_and_of_equal_ones_the_lower_item(spark: SparkSession) -> None:
    rows = [(7, 5, 3), (7, 9, 4), (7, 4, 3), (7, 8, 3), (7, 2, 1), (8, 3, 1)]
    frame = spark.createDataFrame(rows, COUNTS)
    expected = spark.createDataFrame([(7, 9, 4), (7, 4, 3), (7, 5, 3), (8, 3, 1)], COUNTS)
    for shuffled in (frame, frame.orderBy("count"), frame.repartition(4)):
        assertDataFrameEqual(transition_counts.only_nearest(shuffled, 3), expected)
    assertDataFrameEqual(transition_counts.only_nearest(frame, 99), frame)


def test_most_neighbours_are_dropped_before_they_are_shuffled(spark: SparkSession) -> None:
    frame = (
        spark.range(9).selectExpr("id % 2 as item_idx", "id as next_item_idx", "id as count").repartition(3)
    )
    plan = transition_counts.only_nearest(frame, 2)._jdf.queryExecution().executedPlan().toString()
    assert plan.count("WindowGroupLimit") == 2


@pytest.mark.parametrize("changed", [([3], [1.0], [1]), ([2], [2.0], [1]), ([2], [1.0], [0])])
def test_the_content_hash_sees_every_value_and_no_order(
    spark: SparkSession, changed: tuple[list[int], list[float], list[int]]
) -> None:
    rows = [([2], [1.0], [1]), ([2], [1.0], [1]), ([4, 5], [1.0, 0.5], [0, 1])]

    def hashed(frame: DataFrame) -> tuple[int, str]:
        [row] = content_hash.content(frame, ["items", "weights", "mask"]).collect()
        return row["num_rows"], row["content_hash"]

    same = hashed(windows(spark, rows))
    assert same == hashed(windows(spark, rows[::-1]).repartition(3))
    assert same[0] == 3
    assert hashed(windows(spark, [changed, *rows[1:]])) not in (same, hashed(windows(spark, rows[1:])))
    assert hashed(windows(spark, rows[1:]))[1] != same[1]
