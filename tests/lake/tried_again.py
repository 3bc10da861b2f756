"""Write a table by a worker whose first try dies after it wrote: run by test_lake.py as a process of its own."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import SparkSession

from recsys_spark import tables
from recsys_spark.lake import Lake
from recsys_spark.python_tasks import FromPython


def die_once(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches
    context = TaskContext.get()
    if context and context.attemptNumber() == 0:
        raise RuntimeError("the first try dies")


def main(root: str, java_options: str) -> None:
    spark = (
        SparkSession.builder.master("local[1, 2]")
        .config("spark.driver.extraJavaOptions", java_options)
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    rows = spark.range(0, 4, 1, 1).selectExpr(
        "cast(id AS int) AS user_idx", "array(1) AS items", "'night' AS cut", "date '2024-01-01' AS run_date"
    )
    Lake(root).write_from_python(
        tables.SEEN_ITEMS, dt.date(2024, 1, 1), [FromPython(rows, die_once, tables.SEEN_ITEMS.schema)]
    )
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
