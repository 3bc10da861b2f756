from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys_spark import tables
from recsys_spark.lake import Lake
from recsys_spark.session import spark_settings
from recsys_spark.transforms import events, examples
from recsys_spark.transforms.histories import histories
from recsys_spark.transforms.whole_users import in_one_pass
from tests.timelines import D, timelines_of

POPULAR = "cut string, segment string, item_idx int, num_events long"
NIGHT = ["night"]


def second(n: int) -> dt.datetime:
    return dt.datetime(2024, 5, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=n)


def frame(spark: SparkSession, rows: Sequence[tuple[int, int, int, float | None]]) -> DataFrame:
    """Rows of user, item, second and value."""
    return timelines_of(spark, [(u, i, second(s), 1, v, 0.5, "s", i) for u, i, s, v in rows])


def weights(spark: SparkSession, counts: dict[int, int], power: float = 0.0) -> dict[str, Any]:
    popular = spark.createDataFrame([("night", "", i, n) for i, n in counts.items()], POPULAR)
    return examples.by_item(examples.item_weights(popular, power).toArrow(), ["valid", "night"])


def test_windows_share_one_event_and_each_but_the_first_is_a_target_once(spark: SparkSession) -> None:
    rows = [(7, n, n, 1.0) for n in range(2, 8)]
    got = {
        row.window: row for row in examples.sequence_examples(frame(spark, rows), NIGHT, 2).rows().collect()
    }
    assert {n: row.items for n, row in got.items()} == {0: [5, 6, 7], 1: [3, 4, 5], 2: [0, 2, 3]}
    assert {n: row["mask"] for n, row in got.items()} == {0: [0, 1, 1], 1: [0, 1, 1], 2: [0, 0, 1]}
    assert {n: row.gaps for n, row in got.items()} == {0: [0, 1, 1], 1: [0, 1, 1], 2: [0, 0, 1]}


@pytest.mark.parametrize("num", range(1, 9))
def test_every_event_but_the_first_is_a_target_exactly_once(spark: SparkSession, num: int) -> None:
    rows = [(7, 2 + n, n, None) for n in range(num)]
    targets: Counter[int] = Counter()
    for row in examples.sequence_examples(frame(spark, rows), NIGHT, 3).rows().collect():
        targets.update(item for item, is_target in zip(row.items, row["mask"], strict=True) if is_target)
    assert targets == Counter(range(3, 2 + num))


def test_a_user_with_one_event_has_no_window(spark: SparkSession) -> None:
    assert examples.sequence_examples(frame(spark, [(7, 2, 1, None)]), NIGHT, 3).rows().collect() == []


def test_one_event_example_an_event_with_missing_values_as_nan(spark: SparkSession) -> None:
    rows = [(7, 2, 1, 4.0), (7, 2, 1, 4.0), (8, 3, 1, None)]
    built = examples.event_examples(frame(spark, rows), NIGHT, weights(spark, {2: 2, 3: 1})).rows().collect()
    assert sorted((r.user_idx, r.item_idx, str(r.value), r.weight) for r in built) == [
        (7, 2, "4.0", 0.5), (7, 2, "4.0", 0.5), (8, 3, "nan", 0.5)
    ]  # fmt: skip


def test_imbalance_weights_are_mean_count_over_count_to_the_power(spark: SparkSession) -> None:
    got = weights(spark, {2: 6, 3: 2}, 0.5)
    assert got["night"].tolist() == pytest.approx([0, 0, math.sqrt(4 / 6), math.sqrt(4 / 2)])


def test_an_event_weighs_its_own_weight_times_that_of_its_item_in_its_cut(spark: SparkSession) -> None:
    rows, power = frame(spark, [(7, 2, 1, 4.0), (7, 3, 2, 4.0)]), weights(spark, {2: 6, 3: 2}, 0.5)
    got = {row.item_idx: row.weight for row in examples.event_examples(rows, NIGHT, power).rows().collect()}
    assert got == pytest.approx({2: 0.5 * math.sqrt(4 / 6), 3: 0.5 * math.sqrt(4 / 2)})
    [row] = examples.user_examples(rows, NIGHT, power, 2).rows().collect()
    assert row.weights == pytest.approx([got[3], got[2]])
    assert {row.weight for row in examples.event_examples(rows, NIGHT, None).rows().collect()} == {0.5}


def test_a_cut_before_every_event_has_no_examples(spark: SparkSession) -> None:
    on_the_last_day = dt.datetime(2024, 5, 31, tzinfo=dt.UTC)
    rows = timelines_of(spark, [(7, i, on_the_last_day, 1, 1.0, 0.5, "s", i) for i in (2, 3)])
    power = weights(spark, {2: 6, 3: 2}, 0.5)
    for make in (examples.event_examples, partial(examples.user_examples, length=2)):
        assert {row.cut for row in make(rows, ["valid", "night"], power).rows().collect()} == {"night"}


def test_a_user_example_holds_distinct_items_newest_first_and_counts_the_rest(spark: SparkSession) -> None:
    rows = [(7, 2, 1, 1.0), (7, 3, 2, 2.0), (7, 4, 3, 3.0), (7, 2, 4, None), (8, 5, 1, 5.0)]
    built = examples.user_examples(
        frame(spark, rows), NIGHT, weights(spark, dict.fromkeys((2, 3, 4, 5), 1)), 2
    )
    got = {row.user_idx: row for row in built.rows().collect()}
    assert (got[7].items, got[7].weights, got[7].num_items, got[7].num_overflow) == ([2, 4], [1.0, 0.5], 2, 1)
    assert math.isnan(got[7]["values"][0]) and got[7]["values"][1] == 3.0
    assert (got[8].items, got[8]["values"], got[8].num_items, got[8].num_overflow) == (
        [5, 0],
        [5.0, 0.0],
        1,
        0,
    )


def test_columns_are_those_of_the_tables(spark: SparkSession) -> None:
    none, unweighted = frame(spark, []), weights(spark, {2: 1})
    built = {
        tables.EVENT_EXAMPLES: examples.event_examples(none, NIGHT, unweighted),
        tables.USER_EXAMPLES: examples.user_examples(none, NIGHT, unweighted, 2),
        tables.SEQUENCE_EXAMPLES: examples.sequence_examples(none, NIGHT, 2),
    }
    for table, rows in built.items():
        assert table.check(events.dated(rows.rows(), D)).collect() == []


def test_files_hold_users_in_hashed_order_in_row_groups_of_the_stated_size(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = frame(spark, [(u, i, i, None) for u in range(2, 42) for i in range(2, 6)])
    lake, both = Lake(str(tmp_path)), (examples.sequence_examples(rows, NIGHT, 3), histories(rows, NIGHT, 3))
    with spark_settings(spark, {"spark.sql.execution.arrow.maxRecordsPerBatch": 3}):
        sequences, _ = lake.stage(D, in_one_pass(rows, both), {"sequence_examples": 8})
    assert not lake.exists(tables.SEQUENCE_EXAMPLES, D)
    lake.commit(sequences)
    assert lake.exists(tables.SEQUENCE_EXAMPLES, D) and not lake.exists(tables.HISTORIES, D)
    users: list[int] = []
    for path in sorted((tmp_path / "sequence_examples").rglob("part-*.parquet")):
        file = pq.ParquetFile(path)
        groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        assert set(groups[:-1]) == {8} and groups[-1] <= 8
        here = file.read(columns=["user_idx"])["user_idx"].to_pylist()
        assert here != sorted(here)
        hashed = spark.createDataFrame([(u,) for u in here], "u int").selectExpr(
            "xxhash64(u, 'row groups') as h"
        )
        order = [row.h for row in hashed.collect()]
        assert order == sorted(order)
        users += here
    assert sorted(users) == list(range(2, 42))
