"""The one way from a frame through our Python code."""

from __future__ import annotations

import sys
import zipimport
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructField, StructType

from recsys_spark.tables import Table

ROW_GROUP_BYTES = 16 << 20  # of rows in memory that a worker writes at a time

Work = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]
TablesWork = Callable[[Iterable[pa.RecordBatch]], Iterator[tuple[str, pa.RecordBatch]]]


class FromPython(NamedTuple):
    """What Python makes of a frame: rows to go on with, or rows that the workers write.

    Attributes:
        work: makes record batches of the record batches of each partition.
        schema: of the rows that come out.
    """

    frame: DataFrame
    work: Work
    schema: StructType

    def rows(self) -> DataFrame:
        """As a frame."""
        return through_python(self.frame, self.work, self.schema)


class TablesFromPython(NamedTuple):
    """What Python makes of a frame in one pass: rows of several tables, which the workers write.

    Attributes:
        work: makes record batches of the record batches of each partition, each with the name of its table.
        tables: of which it makes rows; these have no run date.
    """

    frame: DataFrame
    work: TablesWork
    tables: tuple[Table, ...]


def through_python(frame: DataFrame, work: Work, schema: StructType | str) -> DataFrame:
    """What `work` makes of the record batches of each partition; in them a list that was null is an empty one.

    Spark asks for the size of a batch at each row, and Arrow then goes over all rows since the last list that is
    not null: a column of null lists takes time that grows with the square of the batch's rows.

    Args:
        schema: of the rows that come out.
    """
    return frame.select(*map(_without_null_lists, frame.schema)).mapInArrow(partial(_worked, work), schema)


def trust_archives() -> None:
    """Let this Python worker keep its lists of what is in the archives on its path: they stay as they are.

    Before each task Spark drops what Python knows of its path, and until Python 3.13 every package out of an
    archive then lists the whole archive again: with Spark's own, 7,000 files, a quarter of a second of a core a task.
    https://github.com/python/cpython/issues/103200, https://issues.apache.org/jira/browse/SPARK-54744
    """
    if sys.version_info < (3, 13):
        zipimport.zipimporter.invalidate_caches = _nothing  # type: ignore[assignment]


def _without_null_lists(field: StructField) -> Column:
    from pyspark.sql import functions as F
    from pyspark.sql.types import ArrayType

    column = F.col(f"`{field.name}`")
    if not isinstance(field.dataType, ArrayType) or not field.nullable:
        return column
    return F.coalesce(column, F.array().cast(field.dataType)).alias(field.name)


def _worked(work: Work, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    trust_archives()
    return work(batches)


def _nothing(_: zipimport.zipimporter) -> None:
    """Nothing is dropped."""
