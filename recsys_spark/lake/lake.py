"""Read and write tables by date. Only this package knows where a table's files lie."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import logging
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from pyarrow import fs

from recsys_spark.errors import LakeError, MissingInputError
from recsys_spark.lake import delta, parquet, storage
from recsys_spark.python_tasks import FromPython, TablesFromPython
from recsys_spark.tables import DataFile, Table

if TYPE_CHECKING:  # who only looks into the lake needs no Spark
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)

_MOST_FILES = 8  # an appended table with more is rewritten as few
_ROWS_A_FILE = 5_000_000


class Staged(NamedTuple):
    """Files of a table and date that no commit names yet: nobody sees them."""

    table: Table
    run_date: dt.date
    metadata: dict[str, str]
    files: list[delta.CommittedFile]


class Lake:
    """The tables below one root, as one attempt of one job sees and changes them.

    Several threads may read and write different tables at a time.

    Attributes:
        attempt: names this attempt in its commits and folders.
        versions_read, versions_written: Delta version by table name, for lineage.
    """

    def __init__(self, root: str) -> None:
        self._store = storage.store_at(root)
        self.attempt = uuid.uuid4().hex
        self.versions_read: dict[str, int] = {}
        self.versions_written: dict[str, int] = {}
        self._writes = itertools.count(1)

    # Reading ---------------------------------------------------------------------------------

    def read(
        self,
        spark: SparkSession,
        table: Table,
        run_date: dt.date | None = None,
        *,
        until: dt.date | None = None,
        since: dt.date | None = None,
        cut: str | None = None,
    ) -> DataFrame:
        """The rows of one date, of every date up to `until` (inclusive), or all of them.

        Args:
            since: the first date, of a table with a folder a date.

        Raises:
            MissingInputError: no run has written this table for `run_date`.
            BadDataError: the table's log is damaged or a committed file is gone.
        """
        now = self._snapshot(table)
        if run_date is not None and not parquet.only_of(now.files if now else [], run_date, None):
            raise self._missing(table, run_date)
        wanted = parquet.only_of(now.files, run_date, cut, until, since) if now else []
        frame = parquet.read_frame(spark, self._store, table, wanted)
        if until is not None and "run_date" not in table.partitions:
            frame = frame.where(f"run_date <= DATE '{until}'")
        log.info(
            "table_read table=%s run_date=%s version=%s",
            table.name,
            run_date or until or "all",
            now and now.version,
        )
        return frame

    def read_rows(
        self,
        table: Table,
        run_date: dt.date | None = None,
        *,
        until: dt.date | None = None,
        cut: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Like `read`, without Spark: for tables that fit in memory. An absent date gives no rows.

        Args:
            columns: all of the table's when None.
        """
        now = self._snapshot(table)
        files = parquet.only_of(now.files, run_date, cut, until) if now else []
        return parquet.read_arrow(self._store, table, files, columns)

    def exists(self, table: Table, run_date: dt.date) -> bool:
        """Whether a run has written this date, be it with zero rows."""
        return run_date in self.dates(table)

    def dates(self, table: Table, until: dt.date | None = None) -> list[dt.date]:
        """The run dates the table holds, ascending, up to `until` inclusive."""
        now = self._snapshot(table)
        days = {dt.date.fromisoformat(f.partition["run_date"] or "") for f in now.files} if now else set()
        return sorted(day for day in days if until is None or day <= until)

    def files(self, table: Table, run_date: dt.date, cut: str | None = None) -> list[DataFile]:
        """The committed files of a date with the rows of each row group: what Petastorm reads.

        Raises:
            MissingInputError: no run has written this table for `run_date`.
        """
        now = self._snapshot(table)
        wanted = parquet.only_of(now.files if now else [], run_date, cut)
        if not wanted:
            raise self._missing(table, run_date)
        paths = [f"{table.name}/{file.path}" for file in wanted]
        groups = storage.row_group_rows(self._store, paths)
        uris = [self._store.spark_uri(path) for path in paths]
        return [DataFile(uri, rows) for uri, rows in zip(uris, groups, strict=True)]

    def num_rows(self, table: Table, run_date: dt.date | None = None, cut: str | None = None) -> int:
        """Rows of a date (None: of all), from the commits; no data are read."""
        now = self._snapshot(table)
        return parquet.num_rows(parquet.only_of(now.files, run_date, cut)) if now else 0

    # Writing ---------------------------------------------------------------------------------

    def write(
        self,
        spark: SparkSession,
        table: Table,
        run_date: dt.date,
        df: DataFrame,
        *,
        row_group_rows: int | None = None,
    ) -> None:
        """Replace one date by `df`, in one commit. Zero rows leave the date there, and empty.

        Args:
            row_group_rows: at most so many rows in a row group.

        Raises:
            BadDataError: `df` breaks the table's contract, or holds another run date.
            LakeError: the lake cannot be written.
        """
        from pyspark.sql import functions as F

        day = F.lit(run_date)
        wrong = F.concat(
            F.lit(f"table {table.name}: a row has another run_date than {run_date}: "), F.col("run_date")
        )
        checked = (
            table.check(df).where(F.assert_true(F.col("run_date") == day, wrong).isNull()).drop("run_date")
        )
        metadata = self._metadata(run_date)
        delta.create(self._store, table, self._metadata(run_date))
        attempt, folder = metadata["attempt"], f"run_date={run_date}"
        files = parquet.write_frame(self._store, table, checked, attempt, folder, row_group_rows)
        self._replace(table, run_date, metadata, files)

    def write_from_python(self, table: Table, run_date: dt.date, parts: Sequence[FromPython]) -> None:
        """Replace one date by what Python makes of some frames, in one commit; the workers write the files.

        Rows keep their order within a partition; a partition gives a file for each folder it has rows of.

        Raises:
            BadDataError: a part breaks the table's contract, or holds another run date.
            LakeError: the lake cannot be written.
        """
        for part in parts:
            table.refuse_others(part.schema)
        metadata = self._metadata(run_date)
        delta.create(self._store, table, self._metadata(run_date))
        files = parquet.write_from_python(self._store, table, parts, metadata["attempt"], run_date)
        self._replace(table, run_date, metadata, files)

    def stage(
        self, run_date: dt.date, rows: TablesFromPython, row_group_rows: Mapping[str, int]
    ) -> list[Staged]:
        """Let the workers write what Python makes of a frame in one pass; `commit` shows it.

        Args:
            row_group_rows: rows of a row group but the last, by the name of a table.
        """
        metadata = {table: self._metadata(run_date) for table in rows.tables}
        for table in rows.tables:
            delta.create(self._store, table, self._metadata(run_date))
        attempts = {table: about["attempt"] for table, about in metadata.items()}
        files = parquet.write_tables(self._store, rows, attempts, run_date, row_group_rows)
        return [Staged(table, run_date, metadata[table], files[table.name]) for table in rows.tables]

    def commit(self, staged: Staged) -> None:
        """Replace the staged table's date by the staged files, in one commit."""
        self._replace(staged.table, staged.run_date, staged.metadata, staged.files)

    def append(
        self,
        spark: SparkSession,
        table: Table,
        run_date: dt.date,
        decide: Callable[[DataFrame], DataFrame],
    ) -> None:
        """Add the rows that `decide` makes of the table as it is; nothing is ever changed.

        `decide` is called again when another run appended meanwhile. Zero rows make no commit.

        Raises:
            BadDataError: the rows break the table's contract.
            LakeError: the lake cannot be written.
        """
        delta.create(self._store, table, self._metadata(run_date))
        while True:
            now = self._snapshot_of(table)
            new = table.check(decide(parquet.read_frame(spark, self._store, table, now.files)))
            metadata = self._metadata(run_date)
            files = parquet.write_frame(self._store, table, new, metadata["attempt"], "")
            added = parquet.num_rows(files)
            if added and self._commit(table, metadata, lambda _, new=files: (new, []), only_at=now.version):
                break
            storage.delete_files(self._store, [f"{table.name}/{file.path}" for file in files])
            if not added:
                break
        log.info("table_appended table=%s run_date=%s rows=%d", table.name, run_date, added)
        self._compact(spark, table, run_date)

    def write_rows(self, table: Table, run_date: dt.date, rows: list[dict[str, Any]]) -> None:
        """Replace one date by a few rows, without Spark."""
        delta.create(self._store, table, self._metadata(run_date))
        metadata = self._metadata(run_date)
        folder = f"run_date={run_date}"
        files = parquet.write_rows(self._store, table, rows, metadata["attempt"], folder) if rows else []
        self._replace(table, run_date, metadata, files)

    def append_rows(self, table: Table, rows: list[dict[str, Any]]) -> None:
        """Add a few rows to a table without partitions, without Spark."""
        metadata = self._metadata(rows[0]["run_date"])
        delta.create(self._store, table, self._metadata(rows[0]["run_date"]))
        files = parquet.write_rows(self._store, table, rows, metadata["attempt"], "")
        self._commit(table, metadata, lambda _: (files, []))

    def rollback(self, table: Table, run_date: dt.date) -> list[dt.date]:
        """Drop every date after `run_date` in one commit; returns the dates dropped."""
        dropped = [day for day in self.dates(table) if day > run_date]

        def newer(now: delta.Snapshot) -> tuple[list[Any], list[delta.CommittedFile]] | None:
            files = [file for day in dropped for file in parquet.only_of(now.files, day, None)]
            return ([], files) if files else None

        if dropped:
            self._commit(table, self._metadata(run_date), newer)
        return dropped

    def vacuum(self, table: Table, retention_hours: int) -> int:
        """Delete files that no version within the retention names; returns how many."""
        return len(delta.vacuum(self._store, table, retention_hours))

    # Models ------------------------------------------------------------------------------------

    def put_model(self, version: str, folder: Path) -> None:
        """Store a model's files under its version."""
        storage.upload(self._store, folder, f"model_files/{version}")

    def get_model(self, version: str) -> Path:
        """A local folder with the model's files.

        Raises:
            MissingInputError: the lake holds no such folder.
        """
        info = self._store.filesystem.get_file_info(self._store.file("model_files", version))
        if info.type != fs.FileType.Directory:
            where = self._store.spark_uri("model_files", version)
            raise MissingInputError(
                f"model {version[:12]}: its folder {where} is gone; restore it or train again"
            )
        return storage.download(self._store, f"model_files/{version}", Path(tempfile.gettempdir()) / version)

    # Inside ------------------------------------------------------------------------------------

    def _metadata(self, run_date: dt.date) -> dict[str, str]:
        return {
            "attempt": f"{self.attempt}-{next(self._writes)}",
            "run_date": str(run_date),
            "versions_read": json.dumps(dict(self.versions_read), sort_keys=True),
        }

    def _snapshot(self, table: Table) -> delta.Snapshot | None:
        now = delta.snapshot(self._store, table)
        if now:
            self.versions_read[table.name] = now.version
        return now

    def _snapshot_of(self, table: Table) -> delta.Snapshot:
        now = self._snapshot(table)
        if now is None:
            raise LakeError(f"table {table.name}: it was removed while this run was writing it")
        return now

    def _replace(
        self, table: Table, run_date: dt.date, metadata: dict[str, str], files: list[delta.CommittedFile]
    ) -> None:
        new = files or parquet.write_nothing(self._store, table, metadata["attempt"], run_date)
        self._commit(table, metadata, lambda now: (new, parquet.only_of(now.files, run_date, None)))
        log.info("table_written table=%s run_date=%s rows=%d", table.name, run_date, parquet.num_rows(new))

    def _commit(
        self, table: Table, metadata: dict[str, str], decide: Any, only_at: int | None = None
    ) -> bool:
        version = delta.commit(self._store, table, metadata, decide, only_at=only_at)
        if version is None:
            return False
        self.versions_written[table.name] = version
        return True

    def _compact(self, spark: SparkSession, table: Table, run_date: dt.date) -> None:
        """Rewrite an appended table as few files. Who loses the race leaves it to the next night."""
        now = self._snapshot_of(table)
        if len(now.files) < _MOST_FILES:
            return
        metadata = self._metadata(run_date)
        most_files = max(1, parquet.num_rows(now.files) // _ROWS_A_FILE)
        rows = parquet.read_frame(spark, self._store, table, now.files).coalesce(most_files)
        files = parquet.write_frame(self._store, table, rows, metadata["attempt"], "")
        landed = self._commit(table, metadata, lambda _: (files, now.files), only_at=now.version)
        log.info("table_compacted table=%s files=%d landed=%s", table.name, len(now.files), landed)

    def _missing(self, table: Table, run_date: dt.date) -> MissingInputError:
        known = [str(day) for day in self.dates(table)] if "run_date" in table.partitions else []
        have = f"the lake has {', '.join(known[-3:])}" if known else "the lake has none"
        return MissingInputError(
            f"table {table.name} in {self._store.spark_root}: nothing for run date {run_date}; {have}; "
            "run the job that writes it for that date first"
        )
