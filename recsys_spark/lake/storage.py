"""Files and folders under the lake's root, on any store that pyarrow reaches. Knows no table."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from recsys_spark.errors import BadDataError, LakeError, SettingsError

# A space, `#`, `?`, `%`, `[`, `=` or a letter beyond ASCII in the root breaks one Delta reader or another.
_SPELLABLE = re.compile(r"(?:(?P<scheme>[a-z0-9]+)://)?(?P<path>[A-Za-z0-9._/-]+)")


@dataclass(frozen=True)
class Store:
    """A root that pyarrow (`filesystem`, `path`), Spark and `deltalake` spell in their own ways."""

    filesystem: fs.FileSystem
    path: str
    spark_root: str
    delta_root: str
    is_local: bool

    def spark_uri(self, *parts: str) -> str:
        """How Spark names a place below the root."""
        return "/".join((self.spark_root, *parts))

    def delta_uri(self, *parts: str) -> str:
        """How `deltalake` names a place below the root."""
        return "/".join((self.delta_root, *parts))

    def file(self, *parts: str) -> str:
        """How `filesystem` names a place below the root."""
        return "/".join((self.path, *parts))


def store_at(root: str) -> Store:
    """Open the root: a local folder (any form), or a URI such as s3a://bucket/lake.

    Raises:
        SettingsError: the root holds a character that some reader of Delta tables cannot spell.
    """
    local = root.removeprefix("file://")
    if "://" not in local:
        local = str(Path(local).absolute())
    match = _SPELLABLE.fullmatch(local)
    if not match:
        raise SettingsError(
            f"lake.root {root!r}: holds a character that some table reader cannot spell; "
            "use only A-Z a-z 0-9 . _ / - in the whole path"
        )
    if not match["scheme"]:
        return Store(fs.LocalFileSystem(), local, f"file://{local}", local, is_local=True)
    path = match["path"].rstrip("/")
    scheme = "s3" if match["scheme"] in ("s3a", "s3n") else match["scheme"]
    filesystem, opened = fs.FileSystem.from_uri(f"{scheme}://{path}")
    return Store(filesystem, opened, f"{match['scheme']}://{path}", f"{scheme}://{path}", is_local=False)


def parquet_files(store: Store, folder: str) -> list[fs.FileInfo]:
    """Data files below `folder` after a finished Spark write, by name.

    Raises:
        LakeError: Spark left no _SUCCESS, so the write did not finish.
    """
    infos = store.filesystem.get_file_info(fs.FileSelector(store.file(folder), recursive=True))
    if not any(info.base_name == "_SUCCESS" for info in infos):
        raise LakeError(f"{store.spark_uri(folder)}: no _SUCCESS; the Spark write did not finish, run again")
    data = [info for info in infos if info.is_file and re.fullmatch(r"part-.*\.parquet", info.base_name)]
    return sorted(data, key=lambda info: info.path)


def missing(store: Store, files: list[str]) -> list[str]:
    """Which of these files (relative to the root) are not there."""
    if not files:
        return []
    infos = store.filesystem.get_file_info([store.file(name) for name in files])
    return [name for name, info in zip(files, infos, strict=True) if not info.is_file]


def row_group_rows(store: Store, files: list[str]) -> list[tuple[int, ...]]:
    """Rows of each row group of each file, from the footers, read in parallel.

    Raises:
        BadDataError: a footer cannot be read; names the file.
    """

    def of(name: str) -> tuple[int, ...]:
        try:
            footer = pq.read_metadata(store.file(name), filesystem=store.filesystem)
        except (pa.ArrowInvalid, OSError) as error:
            raise BadDataError(f"{store.spark_uri(name)}: not a readable Parquet file: {error}") from error
        return tuple(footer.row_group(i).num_rows for i in range(footer.num_row_groups))

    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(of, files))


def sync(store: Store, files: list[str]) -> None:
    """Force files and their folders to disk on a local store; object stores do so themselves."""
    if not store.is_local:
        return
    paths = [Path(store.file(name)) for name in files]
    for path in [*paths, *{path.parent for path in paths}]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def move(store: Store, files: list[str], source: str, target: str) -> list[str]:
    """Move files from below folder `source` to the same places below `target`; returns their new paths."""
    root = store.file(source)
    moved = [store.file(target) + path.removeprefix(root) for path in files]
    for folder in sorted({path.rpartition("/")[0] for path in moved}):
        store.filesystem.create_dir(folder, recursive=True)
    with ThreadPoolExecutor(max_workers=16) as pool:
        list(pool.map(store.filesystem.move, files, moved))
    return moved


def delete(store: Store, folder: str) -> None:
    """Remove a folder if it is there."""
    if store.filesystem.get_file_info(store.file(folder)).type == fs.FileType.Directory:
        store.filesystem.delete_dir(store.file(folder))


def delete_files(store: Store, files: list[str]) -> None:
    """Remove files (relative to the root) that no commit names."""
    for name in files:
        store.filesystem.delete_file(store.file(name))


def upload(store: Store, source: Path, folder: str) -> None:
    """Copy the files of a local folder to `folder`, each appearing whole or not at all."""
    store.filesystem.create_dir(store.file(folder), recursive=True)
    names = sorted(path.name for path in source.iterdir() if path.is_file())
    for name in names:
        if not store.is_local:
            fs.copy_files(
                str(source / name), store.file(folder, name), destination_filesystem=store.filesystem
            )
            continue
        part = Path(store.file(folder, f".{name}.{uuid.uuid4().hex}"))
        shutil.copyfile(source / name, part)
        part.replace(store.file(folder, name))
    sync(store, [f"{folder}/{name}" for name in names])


def download(store: Store, folder: str, into: Path) -> Path:
    """A local folder with the files of `folder`: the folder itself on a local store, else a copy.

    Each file appears whole or not at all: other processes of this machine may be reading an earlier copy.
    """
    if store.is_local:
        return Path(store.file(folder))
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as part:
        fs.copy_files(store.file(folder), part, source_filesystem=store.filesystem)
        for path in Path(part).iterdir():
            path.replace(into / path.name)
    return into
