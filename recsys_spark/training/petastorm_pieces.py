"""Files and row groups as petastorm asks for them, over today's pyarrow; knows nothing of petastorm itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from recsys_spark.errors import BadDataError
from recsys_spark.training.columns import Array, ColumnType, to_numpy
from recsys_spark.training.files import named, open_parquet

FOOTERS_AT_A_TIME = 16  # a footer is a wait for the store, not work


class RowGroup(NamedTuple):
    """One row group to read: its file's URI, its number in the file, the rows it must hold."""

    uri: str
    number: int
    num_rows: int


class Files:
    """What petastorm takes for a file system: what to read in which order, and every footer read so far."""

    def __init__(
        self, row_groups: Sequence[RowGroup], columns: Mapping[str, ColumnType], footers: dict[str, Any]
    ) -> None:
        self.row_groups, self.columns, self.footers = row_groups, columns, footers
        self.uris = list(dict.fromkeys(group.uri for group in row_groups))
        self._read_footers()

    def open(self, uri: str) -> Any:
        """An open Parquet file, its footer not read again."""
        return open_parquet(uri, self.footers[uri])

    def _read_footers(self) -> None:
        unread = [uri for uri in self.uris if uri not in self.footers]
        if not unread:
            return
        with ThreadPoolExecutor(min(FOOTERS_AT_A_TIME, len(unread))) as threads:
            # A failure ends the loop, which drops what has not begun.
            for uri, footer in zip(unread, threads.map(_footer, unread), strict=True):
                self.footers[uri] = footer


class Piece:
    """What petastorm takes for a row group of a data set."""

    def __init__(self, path: str, open_file_func: Any, row_group: int, partition_keys: object) -> None:
        self.path, self.row_group, self.partition_keys = path, row_group, partition_keys
        self.files: Files = open_file_func.__self__

    def get_metadata(self) -> Any:
        """The footer of the piece's file."""
        return self.files.footers[self.path]

    def read(self) -> dict[str, Array]:
        """The columns as arrays.

        Raises:
            BadDataError: the row group cannot be read, lacks a column, or breaks what a column must hold.
        """
        where = f"{self.path} row group {self.row_group}"
        with named(where), self.files.open(self.path) as file:
            missing = sorted(set(self.files.columns) - set(file.schema_arrow.names))
            if missing:
                raise BadDataError(f"{where}: no column {', '.join(missing)}; run build_features again")
            table = file.read_row_group(self.row_group, columns=list(self.files.columns), use_threads=False)
        return {name: to_numpy(table, name, kind, where) for name, kind in self.files.columns.items()}


class Dataset:
    """What petastorm takes for a data set: no partitions, no metadata files, so nothing to unpickle."""

    partitions = metadata = common_metadata = None

    def __init__(self, path_or_paths: object, filesystem: Files, **_: object) -> None:
        self.paths, self.fs = path_or_paths, filesystem

    @property
    def pieces(self) -> list[Piece]:
        """One piece a file; petastorm splits them into row groups by their footers."""
        return [Piece(uri, self.fs.open, 0, ()) for uri in self.fs.uris]


def _footer(uri: str) -> Any:
    with named(uri), open_parquet(uri) as file:
        return file.metadata
