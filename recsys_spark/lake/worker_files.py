"""Parquet files that Spark's Python workers write themselves: their rows never pass through the JVM."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, reduce
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys_spark.errors import BadDataError, LakeError
from recsys_spark.lake.storage import Store
from recsys_spark.python_tasks import ROW_GROUP_BYTES, Made, Work, through_python

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


class Place(NamedTuple):
    """Where rows of a table go.

    Attributes:
        table: its name.
        schema: of its rows, partition columns included.
        inner: the columns that part its files, beside the run date.
        folder: of the attempt, below the root.
    """

    store: Store
    table: str
    schema: pa.Schema
    inner: tuple[str, ...]
    folder: str
    run_date: dt.date

    def stored(self) -> pa.Schema:
        """The columns that are in the files."""
        return pa.schema([field for field in self.schema if field.name not in (*self.inner, "run_date")])


def write(place: Place, parts: Sequence[Made]) -> list[tuple[str, int]]:
    """Write what Python makes of the partitions of some frames; the path and bytes of each file that counts.

    A task that Spark runs twice, because its executor died or was slow, writes files of another name. Those of
    the try that Spark takes are told; the others lie in the attempt's folder until it is deleted.
    """
    from pyspark.sql import DataFrame

    written = [
        through_python(made.frame, partial(write_partition, place, made.work), "path string, size long")
        for made in parts
    ]
    return sorted((row["path"], row["size"]) for row in reduce(DataFrame.unionAll, written).collect())


def write_partition(place: Place, work: Work, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """In a worker: write what `work` makes of a partition, and tell the path and bytes of each file."""
    files: dict[str, _File] = {}
    with ExitStack() as opened:
        for batch in work(batches):
            _refuse_another_date(place, batch)
            for folder, rows in _parted(batch, place.inner):
                if folder not in files:
                    files[folder] = opened.enter_context(_File(place, folder))
                files[folder].add(rows)
    yield pa.RecordBatch.from_pydict(
        {"path": [file.path for file in files.values()], "size": [file.size() for file in files.values()]},
        pa.schema([("path", pa.string()), ("size", pa.int64())]),
    )


class _File:
    """A Parquet file of one task, written a row group at a time."""

    def __init__(self, place: Place, folder: str) -> None:
        from pyspark import TaskContext

        self._store, self._schema = place.store, place.stored()
        context = TaskContext.get()
        number = context.partitionId() if context else 0
        within = self._store.file(place.folder + folder)
        self.path = f"{within}/part-{number:05d}-{uuid.uuid4()}.parquet"
        self._rows: list[pa.RecordBatch] = []
        self._num_bytes = 0
        with _told(self.path):
            self._store.filesystem.create_dir(within, recursive=True)
            self._writer = pq.ParquetWriter(
                self.path, self._schema, filesystem=self._store.filesystem, write_page_checksum=True
            )

    def __enter__(self) -> _File:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        with _told(self.path):
            if failure is None:
                self._flush()
            self._writer.close()

    def add(self, rows: pa.RecordBatch) -> None:
        self._rows.append(rows.select(self._schema.names))
        self._num_bytes += rows.nbytes
        if self._num_bytes >= ROW_GROUP_BYTES:
            with _told(self.path):
                self._flush()

    def size(self) -> int:
        return int(self._store.filesystem.get_file_info(self.path).size)

    def _flush(self) -> None:
        if self._rows:
            rows = pa.Table.from_batches(self._rows).cast(self._schema)
            self._writer.write_table(rows, row_group_size=len(rows))
        self._rows, self._num_bytes = [], 0


@contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LakeError(
            f"{path}: a Python worker cannot write here: {error}; workers write lists themselves: "
            "give them room and the right to write there, then run again"
        ) from error


def _parted(batch: pa.RecordBatch, inner: Sequence[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of each folder, in their order."""
    if not inner:
        yield "", batch
        return
    [column] = inner
    values = pc.unique(batch[column]).to_pylist()
    for value in values:
        is_here = pc.is_null(batch[column]) if value is None else pc.equal(batch[column], value)
        rows = batch if len(values) == 1 else batch.filter(is_here)
        yield f"/{column}={NO_VALUE if value is None else value}", rows


def _refuse_another_date(place: Place, batch: pa.RecordBatch) -> None:
    for got in pc.unique(batch["run_date"]).to_pylist():
        if got != place.run_date:
            raise BadDataError(
                f"table {place.table}: a row has another run_date than {place.run_date}: {got}"
            )
