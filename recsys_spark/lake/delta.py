"""The only module that calls `deltalake`. Its version is pinned: the calls below depend on it.

One diff, "these files in, those out", serves replace, append, rollback and compaction. It is always
committed with max_commit_retries=0: with retries two writers that read the same version both land.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction
from pyarrow import fs

from recsys_spark.errors import BadDataError, LakeError
from recsys_spark.lake import storage
from recsys_spark.tables import Table

log = logging.getLogger(__name__)

_TRIES = 100
_REFUSED = {"deletionVectors", "columnMapping", "typeWidening", "v2Checkpoint"}
_CONFIGURATION = {"delta.logRetentionDuration": "interval 3650 days", "delta.checkpointInterval": "100"}


@dataclass(frozen=True)
class CommittedFile:
    """A file the table names: path relative to the table's folder, partition values as strings."""

    path: str
    size: int
    num_rows: int
    partition: dict[str, str | None]


@dataclass(frozen=True)
class Snapshot:
    """A table at one version."""

    handle: DeltaTable
    version: int
    files: list[CommittedFile]


def _properties(metadata: dict[str, str]) -> CommitProperties:
    return CommitProperties(max_commit_retries=0, custom_metadata=metadata)


def create(store: storage.Store, table: Table, metadata: dict[str, str]) -> None:
    """Create the table unless another run has; whoever loses that race finds it there.

    Raises:
        LakeError: the folder cannot be written.
    """
    try:
        DeltaTable.create(
            store.delta_uri(table.name),
            schema=Schema.from_json(table.json),
            mode="error",
            partition_by=list(table.partitions),
            configuration=_CONFIGURATION,
            commit_properties=_properties(metadata),
        )
    except (DeltaError, OSError) as error:
        if snapshot(store, table) is None:
            raise LakeError(
                f"lake {store.spark_root}: cannot create table {table.name}: {_line(error)}; "
                "make the folder writable for this user, or set lake.root to another"
            ) from error


def snapshot(store: storage.Store, table: Table, version: int | None = None) -> Snapshot | None:
    """The table at `version` (None: now), or None when it was never created.

    Raises:
        BadDataError: the log is damaged, names a feature that a plain list of files cannot honour, or has not the
            columns of this version.
    """
    _refuse_emptied_log(store, table)
    try:
        handle = DeltaTable(store.delta_uri(table.name), version=version)
    except TableNotFoundError:
        return None
    except (DeltaError, OSError, ValueError) as error:
        raise BadDataError(
            f"table {table.name} at {store.spark_uri(table.name)}: its Delta log cannot be read: {_line(error)}; "
            "restore the folder _delta_log from a backup"
        ) from error
    features = set(handle.protocol().reader_features or ()) & _REFUSED
    if features:
        raise BadDataError(
            f"table {table.name}: uses {', '.join(sorted(features))}, which readers of its file list cannot "
            "honour; drop the feature or rewrite the table"
        )
    _refuse_other_columns(store, table, handle)
    actions = pa.table(handle.get_add_actions(flatten=True)).to_pylist()
    files = [
        CommittedFile(
            path=unquote(action["path"]),
            size=action["size_bytes"],
            num_rows=action["num_records"],
            partition={name: _text(action.get(f"partition.{name}")) for name in table.partitions},
        )
        for action in actions
    ]
    return Snapshot(handle, handle.version(), sorted(files, key=lambda file: file.path))


def _refuse_other_columns(store: storage.Store, table: Table, handle: DeltaTable) -> None:
    stored = {field.name: field.type for field in handle.schema().fields}
    expected = {field.name: field.type for field in Schema.from_json(table.json).fields}
    others = [name for name, kind in expected.items() if stored.get(name) != kind]
    if others:
        raise BadDataError(
            f"table {table.name} at {store.spark_uri(table.name)}: written by another version of this project: "
            f"{', '.join(others)} missing or of another type; go on with that version, set lake.root to a new folder, "
            "or move this table's folder away: the next night makes a new one"
        )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _refuse_emptied_log(store: storage.Store, table: Table) -> None:
    folder = store.file(table.name, "_delta_log")
    selector = fs.FileSelector(folder, allow_not_found=True)
    for info in store.filesystem.get_file_info(selector):
        if info.is_file and info.size == 0 and info.base_name.endswith(".json"):
            raise BadDataError(
                f"table {table.name}: log entry {folder}/{info.base_name} is empty; it was damaged after its "
                "commit, restore it from a backup (without it readers would see an older table)"
            )


def commit(
    store: storage.Store,
    table: Table,
    metadata: dict[str, str],
    decide: Callable[[Snapshot], tuple[Sequence[CommittedFile], Sequence[CommittedFile]] | None],
    *,
    only_at: int | None = None,
) -> int | None:
    """Commit the difference that `decide` returns for the table as it is: (files in, files out).

    A lost race reads the table again and decides again, unless `only_at` names the version that the
    files were made from: then it returns None and the caller makes them again.

    Args:
        metadata: goes into the commit; metadata["attempt"] must be unique to this commit.
        decide: returns None when there is nothing to do.

    Returns:
        The version that holds the change, or None when a race was lost at `only_at`.

    Raises:
        LakeError: the store refused the commit, a file to commit is gone, or races went on for ever.
    """
    for attempt in range(_TRIES):
        now = snapshot(store, table)
        if now is None:
            raise LakeError(f"table {table.name}: it was removed while this run was writing it")
        if only_at is not None and now.version != only_at:
            return now.version if _landed(now, metadata) else None
        change = decide(now)
        if change is None:
            return now.version
        added, removed = change
        gone = storage.missing(store, [f"{table.name}/{file.path}" for file in added])
        if gone:
            raise LakeError(f"table {table.name}: {gone[0]} is gone before its commit (vacuumed?); run again")
        try:
            now.handle.create_write_transaction(
                [*map(_add, added), *map(_remove, removed)],
                "append",
                now.handle.schema(),
                partition_by=list(table.partitions),
                commit_properties=_properties(metadata),
            )
        except (DeltaError, OSError) as error:
            after = snapshot(store, table)
            if after is not None and _landed(after, metadata):
                return after.version
            if not isinstance(error, CommitFailedError):
                raise LakeError(f"table {table.name}: commit refused: {_line(error)}") from error
            log.info("commit_race_lost table=%s version=%d try=%d", table.name, now.version, attempt + 1)
            time.sleep(random.uniform(0, 0.05))
            continue
        storage.sync(store, [f"{table.name}/_delta_log/{now.version + 1:020d}.json"])
        return now.version + 1
    raise LakeError(f"table {table.name}: lost {_TRIES} commit races in a row; is a run looping?")


def _add(file: CommittedFile) -> AddAction:
    # numRecords alone: Infinity in min/max beside a boolean column makes a table that cannot be opened.
    stats = f'{{"numRecords": {file.num_rows}}}'
    return AddAction(file.path, file.size, file.partition, int(time.time() * 1000), True, stats)


def _remove(file: CommittedFile) -> RemoveAction:
    return RemoveAction(file.path, True, int(time.time() * 1000), file.size, file.partition)


def _landed(now: Snapshot, metadata: dict[str, str]) -> bool:
    return any(entry.get("attempt") == metadata["attempt"] for entry in now.handle.history(_TRIES))


def vacuum(store: storage.Store, table: Table, retention_hours: int) -> list[str]:
    """Delete files that no version within the retention names, left-overs of dead runs included."""
    now = snapshot(store, table)
    if now is None:
        return []
    return list(
        now.handle.vacuum(retention_hours, dry_run=False, enforce_retention_duration=False, full=True)
    )
