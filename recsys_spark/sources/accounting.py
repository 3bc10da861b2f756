"""What became of every record: duplicates, too many events, and one line of counts a file."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from pyspark import StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from recsys_spark.errors import BadDataError

TOO_MANY = "max_events_per_user_day"


def with_duplicates(rows: DataFrame) -> DataFrame:
    """Of the kept rows of one key in this delivery, only the first in file order stays kept.

    File order: feeds as the mapping lists them, then file name, then record number.
    """
    kept = F.col("outcome") == "kept"
    # Rows that are not kept get a group each, so that none of them takes a key or piles up.
    itself = F.concat_ws(":", "feed", "file_name", "record")
    group = Window.partitionBy("source", "table", F.when(kept, F.lit("")).otherwise(itself), "row_key")
    first = F.row_number().over(group.orderBy("feed", "file_name", "record")) == 1
    return rows.withColumn("outcome", F.when(~kept | first, F.col("outcome")).otherwise("duplicate"))


def busy_users(rows: DataFrame, limit: int) -> DataFrame:
    """Users with more than `limit` kept events in all: nobody else can pass the limit of one day."""
    kept = rows.where((F.col("outcome") == "kept") & (F.col("table") == "interactions"))
    return kept.groupBy("source", "user_id").agg(F.count("*").alias("num")).where(F.col("num") > limit)


def with_day_limit(rows: DataFrame, limit: int) -> DataFrame:
    """A user's events of one UTC day beyond `limit`, oldest first, are filtered by that name."""
    counted = (F.col("outcome") == "kept") & (F.col("table") == "interactions")
    itself = F.concat_ws(":", "table", "feed", "file_name", "record")
    group = Window.partitionBy(
        "source", F.when(~counted, itself), F.when(counted, F.col("user_id")), F.to_date("event_at")
    )
    order = group.orderBy("event_at", F.xxhash64("row_key"), "row_key")
    over = counted & (F.row_number().over(order) > limit)
    return rows.withColumns(
        {
            "outcome": F.when(over, "filtered").otherwise(F.col("outcome")),
            "reason": F.when(over, TOO_MANY).otherwise(F.col("reason")),
        }
    )


@dataclass
class FileCounts:
    """Counts of one file for one table, as the accounting finds them."""

    source: str
    table: str
    delivery: str
    file_name: str
    sha256: str | None = None
    num_bytes: int | None = None
    num_parsed: int = 0
    fault: str | None = None
    detail: str | None = None
    num_kept: int = 0
    num_duplicates: int = 0
    num_filtered: dict[str, int] = field(default_factory=dict)
    num_quarantined: dict[str, int] = field(default_factory=dict)
    first_record: dict[str, int] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """The file in words, for messages."""
        return f"source {self.source}, file {self.file_name} ({self.table})"

    def row(self, run_date: dt.date) -> dict[str, Any]:
        """The file's row of `source_files`; a file refused whole counts as one record."""
        whole = self.fault is not None
        return {
            "source": self.source,
            "table": self.table,
            "delivery": self.delivery,
            "file_name": self.file_name,
            "sha256": self.sha256,
            "num_bytes": self.num_bytes,
            "num_parsed": 1 if whole else self.num_parsed,
            "num_kept": 0 if whole else self.num_kept,
            "num_filtered": [] if whole else sorted(self.num_filtered.items()),
            "num_quarantined": [(self.fault, 1)] if whole else sorted(self.num_quarantined.items()),
            "num_duplicates": 0 if whole else self.num_duplicates,
            "run_date": run_date,
        }


def counts_of(rows: DataFrame) -> list[FileCounts]:
    """Count every file's records by what became of them; a few rows a file reach the driver."""
    keys = ["source", "table", "delivery", "file_name"]
    groups = rows.groupBy(*keys, "outcome", "reason").agg(
        F.count("*").alias("num"),
        F.min("record").alias("record"),
        *[F.max(name).alias(name) for name in ("sha256", "num_bytes", "num_parsed")],
        F.max(F.when(F.col("outcome") == "file", F.col("raw"))).alias("detail"),
    )
    files: dict[tuple[str, ...], FileCounts] = {}
    for row in groups.collect():
        key = tuple(row[name] for name in keys)
        file = files.setdefault(key, FileCounts(*key))
        outcome, reason, num = row["outcome"], row["reason"], row["num"]
        if outcome == "file":
            file.sha256, file.num_bytes, file.num_parsed = row["sha256"], row["num_bytes"], row["num_parsed"]
            file.fault, file.detail = reason, row["detail"]
        elif outcome == "kept":
            file.num_kept = num
        elif outcome == "duplicate":
            file.num_duplicates = num
        elif outcome == "filtered":
            file.num_filtered[reason] = num
        else:
            file.num_quarantined[reason] = num
            file.first_record[reason] = row["record"]
    return sorted(files.values(), key=lambda file: (file.source, file.table, file.file_name))


def counted(rows: DataFrame, day_limit: int) -> tuple[DataFrame, list[FileCounts]]:
    """Count every file's records, the day limit applied; the day limit sorts all rows: only where somebody can pass it.

    Returns:
        Every row with its last outcome, kept on disk so that files are read once.
        The counts.
    """
    unlimited = with_duplicates(rows).persist(StorageLevel.DISK_ONLY)
    limited = unlimited
    try:
        counts = counts_of(unlimited)
        if _most_events(counts) > day_limit and not busy_users(unlimited, day_limit).isEmpty():
            limited = with_day_limit(unlimited, day_limit).persist(StorageLevel.DISK_ONLY)
            counts = counts_of(limited)
    except PySparkException:
        limited.unpersist()
        unlimited.unpersist()
        raise
    if limited is not unlimited:
        unlimited.unpersist()
    return limited, counts


def _most_events(files: list[FileCounts]) -> int:
    """The events of the source with the most: no user of it has more."""
    events: Counter[str] = Counter()
    for file in files:
        if file.table == "interactions":
            events[file.source] += file.num_kept
    return max(events.values(), default=0)


def verify(files: list[FileCounts], max_quarantined_share: float) -> None:
    """Hold every sound file's counts against the reader's own, and its bad records against the limit.

    Raises:
        BadDataError: records are unaccounted for, a file changed while it was read, or too many are bad.
    """
    seen: dict[tuple[str, str], set[str | None]] = defaultdict(set)
    for file in files:
        seen[file.source, file.file_name].add(file.sha256)
        if len(seen[file.source, file.file_name]) > 1:
            raise BadDataError(f"{file.where}: changed while it was read; run again when it is complete")
        bad = sum(file.num_quarantined.values())
        accounted = file.num_kept + sum(file.num_filtered.values()) + bad + file.num_duplicates
        if file.fault is None and accounted != file.num_parsed:
            raise BadDataError(
                f"{file.where}: {file.num_parsed} records read, but {accounted} accounted for; the file or a worker "
                f"changed in between, run again"
            )
        if file.fault is None and bad > max_quarantined_share * file.num_parsed:
            reason = max(sorted(file.num_quarantined), key=lambda name: file.num_quarantined[name])
            raise BadDataError(
                f"{file.where}: {bad} of {file.num_parsed} records are bad ({bad / file.num_parsed:.2%}), expected "
                f"at most {max_quarantined_share:.2%}; most often {reason} ({file.num_quarantined[reason]}, first at "
                f"record {file.first_record[reason]}); mend the file or the mapping, or raise "
                f"ingest.max_quarantined_share"
            )
