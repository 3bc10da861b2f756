"""Parquet files by URI, on any file system that pyarrow or fsspec knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from recsys_spark.errors import BadDataError, LakeError

# pyarrow verifies page checksums from version 15 on, and refuses the argument before.
VERIFIED: dict[str, Any] = (
    {"page_checksum_verification": True} if int(pa.__version__.split(".")[0]) >= 15 else {}
)
_making = Lock()


def open_parquet(uri: str, footer: Any = None) -> Any:
    """An open Parquet file whose pages are verified as they are read; its footer is read only when not given.

    Raises:
        LakeError: as `located`.
        OSError, pa.ArrowException: the file is missing or broken; see `named`.
    """
    filesystem, path = located(uri)
    return pq.ParquetFile(path, filesystem=filesystem, metadata=footer, **VERIFIED)


def located(uri: str) -> tuple[Any, str]:
    """The file system of a URI and the path on it: pyarrow's own if it has one, else fsspec's.

    Raises:
        LakeError: neither knows the scheme, or the package for it is not installed.
    """
    parts = urlsplit(uri)
    scheme = "s3" if parts.scheme in ("s3a", "s3n") else parts.scheme
    root = parts._replace(scheme=scheme, path="/", fragment="").geturl()
    with _making:  # pyarrow 14 dies when two threads start its S3 client at once
        native = _native(root)
    if native:
        filesystem, base = native
        return filesystem, base.rstrip("/") + unquote(parts.path)
    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise LakeError(
            f"{uri}: no file system for {parts.scheme}: {' '.join(str(error).split())}"
        ) from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(filesystem)), path


@contextmanager
def named(where: str) -> Iterator[None]:
    """Turn a failure to read into one line that names the place.

    Raises:
        BadDataError: what was tried inside cannot be read; a LakeError stays one.
    """
    try:
        yield
    except LakeError:
        raise
    except FileNotFoundError as error:
        raise BadDataError(f"{where}: cannot be read: no such file; the table has changed since") from error
    except (OSError, pa.ArrowException) as error:
        raise BadDataError(f"{where}: cannot be read: {' '.join(str(error).split())}") from error


@cache  # a client for S3 asks for the bucket's region when it is made
def _native(root: str) -> tuple[Any, str] | None:
    try:
        return pafs.FileSystem.from_uri(root)  # type: ignore[no-any-return]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
