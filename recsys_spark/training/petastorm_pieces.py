"""Files and row groups as petastorm asks for them, over today's pyarrow; knows nothing of petastorm itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from recsys_spark.errors import BadDataError
from recsys_spark.training.columns import Array, ColumnType, to_numpy


class Files:
    """What petastorm takes for a file system: the URIs, the columns, and every footer read so far."""

    def __init__(
        self, uris: Sequence[str], columns: Mapping[str, ColumnType], footers: dict[str, Any]
    ) -> None:
        self.uris, self.columns, self.footers = uris, columns, footers

    def open(self, uri: str, footer: Any = None) -> Any:
        """An open Parquet file, its footer read only when not given."""
        filesystem, path = pafs.FileSystem.from_uri(uri.replace("s3a://", "s3://", 1))
        return pq.ParquetFile(path, filesystem=filesystem, metadata=footer, page_checksum_verification=True)

    def footer(self, uri: str) -> Any:
        """The file's footer; read once."""
        if uri not in self.footers:
            with named(uri), self.open(uri) as file:
                self.footers[uri] = file.metadata
        return self.footers[uri]


class Piece:
    """What petastorm takes for a row group of a data set."""

    def __init__(self, path: str, open_file_func: Any, row_group: int, partition_keys: object) -> None:
        self.path, self.row_group, self.partition_keys = path, row_group, partition_keys
        self.files: Files = open_file_func.__self__

    def get_metadata(self) -> Any:
        """The footer of the piece's file."""
        return self.files.footer(self.path)

    def read(self) -> dict[str, Array]:
        """The columns as arrays.

        Raises:
            BadDataError: the row group cannot be read, lacks a column, or breaks what a column must hold.
        """
        where = f"{self.path} row group {self.row_group}"
        with named(where), self.files.open(self.path, self.get_metadata()) as file:
            missing = sorted(set(self.files.columns) - set(file.schema_arrow.names))
            if missing:
                raise BadDataError(f"{where}: no column {', '.join(missing)}; run build_features again")
            table = file.read_row_group(self.row_group, columns=list(self.files.columns), use_threads=False)
        return {name: to_numpy(table, name, kind, where) for name, kind in self.files.columns.items()}


class Dataset:
    """What petastorm takes for a data set: no partitions, no metadata files, so nothing to unpickle."""

    partitions = metadata = common_metadata = None

    def __init__(self, path_or_paths: Sequence[str], filesystem: Files, **_: object) -> None:
        self.paths, self.fs = path_or_paths, filesystem

    @property
    def pieces(self) -> list[Piece]:
        """One piece a file; petastorm splits them into row groups by their footers."""
        return [Piece(uri, self.fs.open, 0, ()) for uri in self.fs.uris]


@contextmanager
def named(where: str) -> Iterator[None]:
    """Turn a failure to read into one line that names the place."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise BadDataError(f"{where}: cannot be read: {' '.join(str(error).split())}") from error
