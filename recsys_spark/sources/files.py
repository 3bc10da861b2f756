"""Which files of a source belong to a night, and whether they are ready to be read."""

from __future__ import annotations

import datetime as dt
import logging
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from pyarrow import fs

from recsys_spark.errors import MissingInputError, SettingsError

log = logging.getLogger(__name__)


class SourceFile(NamedTuple):
    """A file to read: where it lies, and its name relative to the source's folder."""

    uri: str
    name: str


def opened(uri: str) -> tuple[Any, str]:
    """The pyarrow file system of a URI or local path, and the path within it."""
    if "://" in uri:
        filesystem, path = fs.FileSystem.from_uri(uri)
        return filesystem, path
    return fs.LocalFileSystem(), str(Path(uri).absolute())


def files_of(
    source: str,
    folder: str,
    pattern: str,
    run_date: dt.date,
    *,
    ready_marker: str | None,
    quiet_seconds: float,
) -> tuple[list[SourceFile], str | None]:
    """Files under `folder` that match `pattern` for the night, by name; or none, and why they must wait.

    `{run_date}` in the pattern or the marker becomes 2026-01-31 (or another form:
    `{run_date:%Y%m%d}`); `*`, `?` and `[...]` match within one folder level. One file that is
    still being written holds back all: half a delivery would look like a smaller one.

    Raises:
        MissingInputError: the folder is not there.
        SettingsError: the pattern holds another placeholder.
    """
    filesystem, root = opened(folder)
    if filesystem.get_file_info(root).type != fs.FileType.Directory:
        raise MissingInputError(f"source {source}: no folder {folder}; check sources.{source}.folder")
    try:
        wanted = pattern.format(run_date=run_date)
        marker = ready_marker.format(run_date=run_date) if ready_marker else None
    except (KeyError, IndexError, ValueError) as error:
        raise SettingsError(
            f"source {source}: pattern {pattern} or ready_marker {ready_marker}: only {{run_date}} may stand "
            f"in braces, got {error}"
        ) from None
    infos = _matching(filesystem, root, wanted.split("/"))
    waiting = next((why for i in infos if (why := _unready(filesystem, i, marker, quiet_seconds))), None)
    names = sorted(info.path[len(root) :].lstrip("/") for info in infos)
    log.info("files_found source=%s pattern=%s files=%d", source, wanted, len(names))
    if waiting:
        return [], waiting
    return [SourceFile(f"{folder.rstrip('/')}/{name}", name) for name in names], None


def _matching(filesystem: Any, folder: str, parts: list[str]) -> list[Any]:
    part, rest = parts[0], parts[1:]
    if any(letter in part for letter in "*?["):
        below = filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
        infos = [info for info in below if fnmatchcase(info.base_name, part)]
    else:
        infos = [filesystem.get_file_info(f"{folder.rstrip('/')}/{part}")]
    if not rest:
        return [info for info in infos if info.type == fs.FileType.File]
    folders = [info.path for info in infos if info.type == fs.FileType.Directory]
    return [info for path in folders for info in _matching(filesystem, path, rest)]


def _unready(filesystem: Any, info: Any, marker: str | None, quiet: float) -> str | None:
    if marker is not None:
        beside = f"{info.path.rpartition('/')[0]}/{marker}"
        if filesystem.get_file_info(beside).type != fs.FileType.File:
            return f"{info.base_name} is not ready: no {marker} beside it (ingest.ready_marker)"
    if quiet > 0 and info.mtime is not None:
        age = time.time() - info.mtime.timestamp()
        if age < quiet:
            return (
                f"{info.base_name} is still being written: it changed {age:.0f} s ago, expected "
                f"{quiet:g} s of quiet (ingest.quiet_seconds)"
            )
    return None
