"""Every row exactly once and one order, for any number of threads, however often and from however many files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_spark.training.columns import ColumnType
from recsys_spark.training.petastorm_adapter import RowGroup, read_row_groups

COLUMNS = {"n": ColumnType("int64")}


def write(folder: Path, num_files: int, groups: int, rows: int) -> list[RowGroup]:
    """Files whose rows count on from one file to the next."""
    found = []
    for i in range(num_files):
        start = i * groups * rows
        path = folder / f"part-{i:05}.parquet"
        pq.write_table(pa.table({"n": np.arange(start, start + groups * rows)}), path, row_group_size=rows)
        found += [RowGroup(path.as_uri(), number, rows) for number in range(groups)]
    return found


@pytest.mark.slow
def test_a_thousand_readings_lose_nothing_and_keep_one_order(tmp_path: Path) -> None:
    groups = write(tmp_path, num_files=4, groups=10, rows=3)
    order = np.random.default_rng(0).permutation(len(groups))
    wanted, footers = [groups[i] for i in order], {}
    expected = (order[:, None] * 3 + np.arange(3)).ravel()
    for reading in range(1000):
        parts = read_row_groups(wanted, COLUMNS, (1, 2, 10)[reading % 3], footers)
        np.testing.assert_array_equal(np.concatenate([part["n"] for part in parts]), expected)


@pytest.mark.parametrize("threads", [1, 2, 10])
def test_thousands_of_small_files_come_whole(tmp_path: Path, threads: int) -> None:
    groups = write(tmp_path, num_files=2000, groups=1, rows=2)
    parts = list(read_row_groups(groups, COLUMNS, threads, {}))
    np.testing.assert_array_equal(np.concatenate([part["n"] for part in parts]), np.arange(4000))
