"""The Parquet files behind a table: written by Spark or Arrow into a folder of the attempt, read by either."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import Schema

from recsys_spark.errors import BadDataError
from recsys_spark.lake import storage, worker_files
from recsys_spark.lake.delta import CommittedFile
from recsys_spark.lake.worker_files import NO_VALUE
from recsys_spark.python_tasks import FromPython, TablesFromPython
from recsys_spark.tables import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def arrow_schema(table: Table) -> pa.Schema:
    """The table's schema for Arrow, partition columns included."""
    return pa.schema(Schema.from_json(table.json).to_arrow())


def only_of(
    files: Iterable[CommittedFile],
    run_date: dt.date | None = None,
    cut: str | None = None,
    until: dt.date | None = None,
    since: dt.date | None = None,
) -> list[CommittedFile]:
    """The files of one date or of the dates from `since` up to `until`, and of one cut."""

    def wanted(partition: dict[str, str | None]) -> bool:
        day = partition.get("run_date")
        if run_date is not None and day is not None and day != str(run_date):
            return False
        if until is not None and day is not None and day > str(until):
            return False
        if since is not None and day is not None and day < str(since):
            return False
        return cut is None or partition.get("cut") in (cut, None)

    return [file for file in files if wanted(file.partition)]


def num_rows(files: Iterable[CommittedFile]) -> int:
    """Rows of all files, from the commit."""
    return sum(file.num_rows for file in files)


def read_frame(
    spark: SparkSession, store: storage.Store, table: Table, files: Sequence[CommittedFile]
) -> DataFrame:
    """Exactly these files as a frame with the table's own schema.

    Raises:
        BadDataError: a committed file is gone.
    """
    if not files:
        return spark.createDataFrame([], table.schema)
    gone = storage.missing(store, [f"{table.name}/{file.path}" for file in files])
    if gone:
        raise BadDataError(
            f"table {table.name}: committed file {store.spark_uri(gone[0])} is gone ({len(gone)} in all); "
            "restore it, or run again the job and date that wrote it"
        )
    reader = spark.read.schema(table.schema).option("basePath", store.spark_uri(table.name))
    frame = reader.parquet(*[store.spark_uri(table.name, file.path) for file in files])
    return frame.select(*table.schema.fieldNames())


def read_arrow(
    store: storage.Store, table: Table, files: Sequence[CommittedFile], columns: Sequence[str] | None = None
) -> pa.Table:
    """Exactly these files as one Arrow table, of all columns or of `columns`.

    Raises:
        BadDataError: a committed file is gone or damaged.
    """
    schema = arrow_schema(table)
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns])
    parts = [schema.empty_table()]
    for file in files:
        path = store.file(table.name, file.path)
        try:
            with pq.ParquetFile(path, filesystem=store.filesystem, page_checksum_verification=True) as opened:
                stored = [name for name in schema.names if name not in table.partitions]
                part = opened.read(columns=stored)
        except (OSError, pa.ArrowException) as error:
            where = store.spark_uri(table.name, file.path)
            raise BadDataError(
                f"table {table.name}: committed file {where} cannot be read ({error}); restore it, or run again "
                "the job and date that wrote it"
            ) from error
        for name, value in file.partition.items():
            if name not in schema.names:
                continue
            column = pa.array([value] * part.num_rows, pa.string()).cast(schema.field(name).type)
            part = part.append_column(name, column)
        parts.append(part.select(schema.names).cast(schema))
    return pa.concat_tables(parts)


def write_frame(
    store: storage.Store,
    table: Table,
    df: DataFrame,
    attempt: str,
    folder: str,
    row_group_rows: int | None = None,
) -> list[CommittedFile]:
    """Write `df` into a folder of this attempt, move the files below `folder`, and describe them.

    Spark cannot write beside another run in one folder (they share `_temporary`), and readers that guess
    partitions from paths want no other folder in between: hence the move. The names Spark gives are unique.

    Args:
        folder: the place below the table that fixes some partition columns (`run_date=2024-01-31`), or "";
            Spark parts `df` by the others.
    """
    inner = [name for name in table.partitions if f"{name}=" not in folder]
    staging = f"{table.name}/attempt-{attempt}"
    writer = df.write
    if row_group_rows:
        writer = writer.option("parquet.block.row.count.limit", row_group_rows)
    writer.partitionBy(*inner).parquet(store.spark_uri(staging))
    infos = storage.parquet_files(store, staging)
    target = f"{table.name}/{folder}" if folder else table.name
    return _moved(store, table, [(info.path, info.size) for info in infos], staging, target)


def write_from_python(
    store: storage.Store, table: Table, parts: Sequence[FromPython], attempt: str, run_date: dt.date
) -> list[CommittedFile]:
    """Let the workers write what Python makes of some frames, each task its own files, and describe them."""
    staging, target = f"{table.name}/attempt-{attempt}", f"{table.name}/run_date={run_date}"
    place = worker_files.Place(store, table.name, arrow_schema(table), _inner(table), staging, run_date)
    return _moved(store, table, worker_files.write(place, parts), staging, target)


def write_tables(
    store: storage.Store,
    rows: TablesFromPython,
    attempts: Mapping[Table, str],
    run_date: dt.date,
    row_group_rows: Mapping[str, int],
) -> dict[str, list[CommittedFile]]:
    """Let the workers write what Python makes of a frame in one pass, and describe the files of each table.

    Args:
        attempts: of each table.
        row_group_rows: rows of a row group, of those tables that say so.
    """
    places = {
        table.name: worker_files.Place(
            store, table.name, arrow_schema(table), _inner(table), f"{table.name}/attempt-{attempt}", run_date,
            row_group_rows.get(table.name),
        )
        for table, attempt in attempts.items()
    }  # fmt: skip
    written = worker_files.write_tables(places, rows)
    return {
        table.name: _moved(
            store, table, written[table.name], places[table.name].folder, f"{table.name}/run_date={run_date}"
        )
        for table in attempts
    }


def write_nothing(store: storage.Store, table: Table, attempt: str, run_date: dt.date) -> list[CommittedFile]:
    """Write one file without rows, which keeps the date."""
    inner = (f"{name}={NO_VALUE}" for name in _inner(table))
    return write_rows(store, table, [], attempt, "/".join((f"run_date={run_date}", *inner)))


def write_rows(
    store: storage.Store, table: Table, rows: list[dict[str, Any]], attempt: str, folder: str
) -> list[CommittedFile]:
    """Write a few rows as one file below `folder`, without Spark, and describe it."""
    data = pa.Table.from_pylist(rows, arrow_schema(table)).drop_columns(list(table.partitions))
    target = store.file(table.name, folder) if folder else store.file(table.name)
    store.filesystem.create_dir(target, recursive=True)
    path = f"{target}/part-{attempt}.parquet"
    pq.write_table(data, path, filesystem=store.filesystem, write_page_checksum=True)
    return _described(store, table, [(path, store.filesystem.get_file_info(path).size)])


def _inner(table: Table) -> tuple[str, ...]:
    """The columns that part the files of a date."""
    return tuple(name for name in table.partitions if name != "run_date")


def _moved(
    store: storage.Store, table: Table, written: list[tuple[str, int]], staging: str, target: str
) -> list[CommittedFile]:
    """Take the files of an attempt to their place, and describe them."""
    moved = storage.move(store, [path for path, _ in written], staging, target)
    storage.delete(store, staging)
    return _described(store, table, [(path, size) for path, (_, size) in zip(moved, written, strict=True)])


def _described(store: storage.Store, table: Table, written: list[tuple[str, int]]) -> list[CommittedFile]:
    root = store.file(table.name) + "/"
    names = [path.removeprefix(root) for path, _ in written]
    inside = [f"{table.name}/{name}" for name in names]
    storage.sync(store, inside)
    groups = storage.row_group_rows(store, inside)
    return [
        CommittedFile(name, size, sum(rows), _partition(table, name))
        for name, (_, size), rows in zip(names, written, groups, strict=True)
    ]


def _partition(table: Table, path: str) -> dict[str, str | None]:
    named = dict(part.split("=", 1) for part in path.split("/")[:-1])
    return {name: None if named[name] == NO_VALUE else named[name] for name in table.partitions}
