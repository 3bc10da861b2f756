"""What our code does in Spark's Python workers, whatever it computes there."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from recsys_spark.python_tasks import through_python


def test_a_null_list_arrives_as_an_empty_one(spark: SparkSession) -> None:
    def look(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            told = [str(batch.slice(row, 1).to_pylist()[0]) for row in range(batch.num_rows)]
            yield pa.RecordBatch.from_pydict({"told": told})

    schema = "id int, `its items` array<int>, filled_by array<struct<source: string>>"
    rows = [(1, [2, None], [("a",)]), (None, None, None)]
    frame = spark.createDataFrame(rows, schema).coalesce(1)
    first, second = (row["told"] for row in through_python(frame, look, "told string").collect())
    assert first == str({"id": 1, "its items": [2, None], "filled_by": [{"source": "a"}]})
    assert second == str({"id": None, "its items": [], "filled_by": []})


@pytest.mark.skipif(
    sys.version_info >= (3, 13), reason="Python itself lists an archive again only when it is asked"
)
def test_a_worker_keeps_its_list_of_an_archive_when_spark_drops_what_python_knows(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "code.zip"

    def add(module: str) -> None:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{module}.py", "")

    def look(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            add("first")
            sys.path.append(str(path))
            first = importlib.util.find_spec("first")
            add("second")
            importlib.invalidate_caches()  # as Spark does before each task
            second = importlib.util.find_spec("second")
            sys.path.remove(str(path))
            found = {"first": [first is not None], "second": [second is not None]}
            yield pa.RecordBatch.from_pydict({"id": batch["id"], **found})

    one = spark.range(0, 1, 1, 1)
    (row,) = through_python(one, look, "id long, first boolean, second boolean").collect()
    assert (row["first"], row["second"]) == (True, False)
