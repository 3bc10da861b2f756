"""Everything that arrived for one night, from every source, as the tables that ingest writes."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys_spark import tables
from recsys_spark.errors import BadDataError, MissingInputError, SettingsError
from recsys_spark.sources import accounting
from recsys_spark.sources.convert import converted
from recsys_spark.sources.feed import Feed
from recsys_spark.sources.files import SourceFile, files_of
from recsys_spark.sources.mapping import load_mapping
from recsys_spark.sources.pseudonyms import key_from_environment
from recsys_spark.sources.reader import read_feed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tolerance:
    """What ingest puts up with: the settings of section `ingest`, explained in conf/base.yaml."""

    on_no_data: str
    on_bad_file: str
    max_quarantined_share: float
    max_events_per_user_day: int
    max_record_lines: int
    quiet_seconds: float
    ready_marker: str | None
    pseudonyms: bool


class Arrived(NamedTuple):
    """What goes into each table that ingest writes: a frame, or the few rows that the driver has."""

    users: DataFrame
    items: DataFrame
    quarantine: DataFrame
    source_files: list[dict[str, Any]]
    interactions: DataFrame


class _Delivery(NamedTuple):
    source: str
    order: int
    feed: Feed
    files: list[SourceFile]

    def without(self, left_out: set[tuple[str, str, str]]) -> _Delivery:
        files = [f for f in self.files if (self.source, self.feed.table, f.name) not in left_out]
        return self._replace(files=files)


@contextmanager
def arrived(
    spark: SparkSession, sources: Mapping[str, tuple[str, str]], run_date: dt.date, tolerance: Tolerance
) -> Iterator[Arrived]:
    """Read, check and count the night's files; the frames live until the block ends.

    Args:
        sources: by name, the mapping (shipped name or file) and the folder (path or URI).

    Raises:
        SettingsError: no source, a faulty mapping, no pseudonym key.
        MissingInputError: a folder or the night's files are not there (or not complete yet).
        BadDataError: a file cannot be trusted, or holds too many bad records.
    """
    if not sources:
        raise SettingsError(
            "sources: none is configured; name at least one mapping and folder (conf/mappings)"
        )
    key = key_from_environment() if tolerance.pseudonyms else None
    deliveries = [
        d for name in sorted(sources) for d in _deliveries(name, *sources[name], run_date, tolerance)
    ]
    rows, files = _counted(spark, deliveries, run_date, tolerance, key)
    try:
        bad = [file for file in files if file.fault is not None]
        if bad and tolerance.on_bad_file == "fail":
            raise BadDataError(f"{bad[0].where}: {bad[0].fault}: {bad[0].detail}; nothing was written")
        if bad:
            # Rows of a bad file may have taken keys from good ones: count again without them.
            rows.unpersist()
            left_out = {(file.source, file.table, file.file_name) for file in bad}
            sound = [d.without(left_out) for d in deliveries]
            rows, files = _counted(spark, sound, run_date, tolerance, key)
            files += bad
        accounting.verify(files, tolerance.max_quarantined_share)
        for file in files:
            log.info(
                "file_read source=%s table=%s file=%s parsed=%d kept=%d filtered=%d quarantined=%d duplicates=%d",
                file.source, file.table, file.file_name, file.num_parsed, file.num_kept,
                sum(file.num_filtered.values()), sum(file.num_quarantined.values()), file.num_duplicates,
            )  # fmt: skip
        yield _tables(spark, rows, files, run_date)
    finally:
        rows.unpersist()


def _deliveries(
    source: str, mapping: str, folder: str, run_date: dt.date, tolerance: Tolerance
) -> list[_Delivery]:
    deliveries: list[_Delivery] = []
    taken: set[tuple[str, str]] = set()
    for order, feed in enumerate(load_mapping(mapping).feeds):
        files, waiting = files_of(
            source,
            folder,
            feed.files,
            run_date,
            ready_marker=tolerance.ready_marker,
            quiet_seconds=tolerance.quiet_seconds,
        )
        if not files and (waiting or not feed.optional):
            why = waiting or f"no file matches {feed.files.format(run_date=run_date)}"
            lacking = f"source {source}: no {feed.table} for {run_date} in {folder}: {why}"
            if tolerance.on_no_data == "fail":
                raise MissingInputError(
                    f"{lacking}; run again when it is there, or set ingest.on_no_data=skip"
                )
            log.warning("no_data source=%s table=%s why=%r", source, feed.table, why)
        for file in files:
            if (feed.table, file.name) in taken:
                raise SettingsError(f"mapping {mapping}: two feeds read {file.name} into {feed.table}")
            taken.add((feed.table, file.name))
        deliveries.append(_Delivery(source, order, feed, files))
    return deliveries


def _counted(
    spark: SparkSession,
    deliveries: list[_Delivery],
    run_date: dt.date,
    tolerance: Tolerance,
    key: bytes | None,
) -> tuple[DataFrame, list[accounting.FileCounts]]:
    """As accounting.counted, of the records of all deliveries."""
    parts = []
    for source, order, feed, files in deliveries:
        parsed = read_feed(
            spark, files, feed, max_record_lines=tolerance.max_record_lines, keep_raw=key is None
        )
        try:
            parts.append(converted(parsed, feed, source=source, order=order, run_date=run_date, key=key))
        except AnalysisException as error:
            first = str(error).strip().splitlines()[0]
            raise SettingsError(
                f"source {source}, feed {order + 1} of its mapping ({feed.table}): {first}"
            ) from None
    # One large file is read by one task; by row key its records are spread for all that follows.
    spread = reduce(DataFrame.unionByName, parts).repartition("row_key")
    try:
        return accounting.counted(spread, tolerance.max_events_per_user_day)
    except PySparkException as error:
        if error.getCondition() in (
            "CAST_INVALID_INPUT",
            "CAST_OVERFLOW",
            "DIVIDE_BY_ZERO",
            "ARITHMETIC_OVERFLOW",
        ):
            raise BadDataError(
                f"an expression of a mapping of {', '.join(sorted({d.source for d in deliveries}))} fails on some "
                f"record ({error.getCondition()}); write try_cast or try_divide in its sql and filters"
            ) from None
        raise


def _tables(
    spark: SparkSession, rows: DataFrame, files: list[accounting.FileCounts], run_date: dt.date
) -> Arrived:
    dated = rows.withColumn("run_date", F.lit(run_date))
    kept = dated.where(F.col("outcome") == "kept")
    quarantine = tables.QUARANTINE.check(dated.where(F.col("outcome") == "quarantined"))
    whole = [(f.source, f.table, f.file_name, 0, f.fault, None, f.detail, run_date) for f in files if f.fault]
    if whole:
        quarantine = quarantine.unionByName(spark.createDataFrame(whole, tables.QUARANTINE.schema))

    def of(table: tables.Table) -> DataFrame:
        return table.check(kept.where(F.col("table") == table.name))

    return Arrived(
        users=of(tables.USERS),
        items=of(tables.ITEMS),
        quarantine=quarantine,
        source_files=[file.row(run_date) for file in files],
        interactions=of(tables.INTERACTIONS),
    )
