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
