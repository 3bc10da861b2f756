"""Parquet files that Spark's Python workers write themselves: their rows never pass through the JVM."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, reduce
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys_spark.errors import BadDataError, LakeError
from recsys_spark.lake.storage import Store
from recsys_spark.python_tasks import (
    ROW_GROUP_BYTES,
    FromPython,
    TablesFromPython,
    TablesWork,
    Work,
    through_python,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_FILES = "table string, path string, size long"


class Place(NamedTuple):
    """Where rows of a table go.

    Attributes:
        table: its name.
        schema: of its rows, partition columns included.
        inner: the columns that part its files, beside the run date.
        folder: of the attempt, below the root.
        row_group_rows: rows of each row group but a file's last; None: what `ROW_GROUP_BYTES` hold.
    """

    store: Store
    table: str
    schema: pa.Schema
    inner: tuple[str, ...]
    folder: str
    run_date: dt.date
    row_group_rows: int | None = None

    def stored(self) -> pa.Schema:
        """The columns that are in the files."""
        return pa.schema([field for field in self.schema if field.name not in (*self.inner, "run_date")])


def write(place: Place, parts: Sequence[FromPython]) -> list[tuple[str, int]]:
    """Write what Python makes of the partitions of some frames; the path and bytes of each file that counts.

    A task that Spark runs twice, because its executor died or was slow, writes files of another name. Those of
    the try that Spark takes are told; the others lie in the attempt's folder until it is deleted.
    """
    from pyspark.sql import DataFrame

    written = [
        through_python(rows.frame, partial(write_partition, place, rows.work), _FILES) for rows in parts
    ]
    return _files_of(reduce(DataFrame.unionAll, written), [place.table])[place.table]


def write_tables(places: Mapping[str, Place], rows: TablesFromPython) -> dict[str, list[tuple[str, int]]]:
    """Write what Python makes of the partitions of a frame; by table, what `write` gives."""
    work = partial(write_tables_partition, places, rows.work)
    return _files_of(through_python(rows.frame, work, _FILES), places)


def write_partition(place: Place, work: Work, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """In a worker: write what `work` makes of a partition, and tell table, path and bytes of each file."""
    return write_tables_partition({place.table: place}, partial(_dated, place, work), batches)


def write_tables_partition(
    places: Mapping[str, Place], work: TablesWork, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """In a worker: write the rows of several tables, and tell table, path and bytes of each file."""
    files: dict[tuple[str, str], _File] = {}
    with ExitStack() as opened:
        for table, batch in work(batches):
            place = places[table]
            for folder, rows in _parted(batch, place.inner):
                if (table, folder) not in files:
                    files[table, folder] = opened.enter_context(_File(place, folder))
                files[table, folder].add(rows)
    columns = {
        "table": [table for table, _ in files],
        "path": [file.path for file in files.values()],
        "size": [file.size() for file in files.values()],
    }
    yield pa.RecordBatch.from_pydict(
        columns, pa.schema([("table", pa.string()), ("path", pa.string()), ("size", pa.int64())])
    )


def _files_of(written: DataFrame, names: Iterable[str]) -> dict[str, list[tuple[str, int]]]:
    files: dict[str, list[tuple[str, int]]] = {name: [] for name in names}
    for table, path, size in sorted(written.collect()):
        files[table].append((path, size))
    return files


def _dated(
    place: Place, work: Work, batches: Iterable[pa.RecordBatch]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows with the name of their table; those of another run date are refused."""
    for batch in work(batches):
        _refuse_another_date(place, batch)
        yield place.table, batch


class _File:
    """A Parquet file of one task, written a row group at a time."""

    def __init__(self, place: Place, folder: str) -> None:
        from pyspark import TaskContext

        self._store, self._schema, self._group_rows = place.store, place.stored(), place.row_group_rows
        context = TaskContext.get()
        number = context.partitionId() if context else 0
        within = self._store.file(place.folder + folder)
        self.path = f"{within}/part-{number:05d}-{uuid.uuid4()}.parquet"
        self._rows: list[pa.RecordBatch] = []
        self._num_bytes = self._num_rows = 0
        with _told(self.path):
            self._store.filesystem.create_dir(within, recursive=True)
            self._writer = pq.ParquetWriter(
                self.path, self._schema, filesystem=self._store.filesystem, write_page_checksum=True
            )

    def __enter__(self) -> _File:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        with _told(self.path):
            if failure is None and self._rows:
                self._flush(self._num_rows)
            self._writer.close()

    def add(self, rows: pa.RecordBatch) -> None:
        self._rows.append(rows.select(self._schema.names))
        self._num_bytes, self._num_rows = self._num_bytes + rows.nbytes, self._num_rows + rows.num_rows
        if self._group_rows is None:
            num = self._num_rows if self._num_bytes >= ROW_GROUP_BYTES else 0
        else:
            num = self._num_rows // self._group_rows * self._group_rows
        if num:
            with _told(self.path):
                self._flush(num)

    def size(self) -> int:
        return int(self._store.filesystem.get_file_info(self.path).size)

    def _flush(self, num: int) -> None:
        """Write the first `num` rows; the others wait for more."""
        rows = pa.Table.from_batches(self._rows)
        self._writer.write_table(rows[:num].cast(self._schema), row_group_size=self._group_rows or num)
        self._rows, self._num_rows = rows[num:].to_batches(), len(rows) - num
        self._num_bytes = sum(batch.nbytes for batch in self._rows)


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
