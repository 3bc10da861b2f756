"""What must hold of the lake after a night, each held against a count of its own."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from reads import Scan

from recsys_spark import tables
from recsys_spark.lake import Lake

MOST_INDEX_FILES = 8
INDEXES = {"user": tables.USER_INDEX, "item": tables.ITEM_INDEX}
ARRIVED = (tables.INTERACTIONS, tables.ITEMS, tables.USERS)


def account(lake: Lake, folder: Path, run_date: dt.date) -> tuple[dict[str, int], list[str]]:
    """The night's records by what became of them, and every file whose counts do not add up."""
    sums = {"files": 0, "parsed": 0, "kept": 0, "filtered": 0, "quarantined": 0, "duplicates": 0}
    faults = []
    for file in lake.read_rows(tables.SOURCE_FILES, run_date).to_pylist():
        told = {
            "files": 1,
            "parsed": file["num_parsed"],
            "kept": file["num_kept"],
            "filtered": sum(count for _, count in file["num_filtered"]),
            "quarantined": sum(count for _, count in file["num_quarantined"]),
            "duplicates": file["num_duplicates"],
        }
        where = f"{file['file_name']} as {file['table']}"
        outcomes = sum(told[name] for name in ("kept", "filtered", "quarantined", "duplicates"))
        counted = _records(folder / file["file_name"])
        if not told["parsed"] == outcomes == counted:
            faults.append(f"{where}: {told['parsed']} parsed, {outcomes} by outcome, {counted} in the CSV")
        sums = {name: sums[name] + told[name] for name in sums}
    written = sum(lake.num_rows(table, run_date) for table in ARRIVED)
    refused = lake.num_rows(tables.QUARANTINE, run_date)
    if (written, refused) != (sums["kept"], sums["quarantined"]):
        faults.append(f"{run_date}: {written} rows written, {refused} in quarantine, but {sums}")
    return sums, faults


def _records(path: Path) -> int:
    return len(
        pd.read_csv(path, dtype=str, encoding_errors="replace")
    )  # not the csv module, which ingest uses


def numbers(lake: Lake, kind: str) -> pa.ChunkedArray:
    """The ids of an index in the order of their numbers.

    Raises:
        ValueError: the numbers are not 2, 3, 4, ...
    """
    rows = lake.read_rows(INDEXES[kind]).sort_by(f"{kind}_idx")
    if rows[f"{kind}_idx"].to_pylist() != list(range(2, rows.num_rows + 2)):
        raise ValueError(f"{kind}_index: the numbers are not dense from 2")
    return rows[f"{kind}_id"]


def only_grew(before: pa.ChunkedArray, after: pa.ChunkedArray) -> bool:
    """Whether every id has kept its number: the ids of before are a prefix of those of after."""
    return after.slice(0, len(before)).equals(before)


def unwanted_reads(job: str, run_date: dt.date, read: list[Scan]) -> list[str]:
    """Scans that ingest and index must not make: of earlier interactions, of more of an index than ids."""
    faults = []
    for scan in read:
        kind = scan.table.removesuffix("_index")
        if kind in INDEXES and scan.table == f"{kind}_index":
            if not {f"{kind}_id"}.issuperset(scan.columns) or scan.files > MOST_INDEX_FILES:
                faults.append(
                    f"{job} {run_date}: more of the index than ids of {MOST_INDEX_FILES} files: {scan}"
                )
        elif scan.run_dates != (str(run_date),):
            faults.append(f"{job} {run_date}: another date than the night's: {scan}")
    return faults


def unseen_reads(job: str, run_date: dt.date, read: list[Scan]) -> list[str]:
    """What the log must show if it shows anything: the night's events, the index, and earlier nights."""
    rows = {scan.table: scan.rows for scan in read}
    wanted = {
        "build_index": ("interactions", "user_index", "item_index"),
        "build_features": ("interactions",),
    }
    faults = [
        f"{job} {run_date}: the log shows no row of {t}" for t in wanted.get(job, ()) if not rows.get(t)
    ]
    if job == "build_features" and not any(len(scan.run_dates) > 1 for scan in read):
        faults.append(f"{job} {run_date}: the log shows no earlier date, though features read them")
    return faults


def metrics(lake: Lake, run_date: dt.date) -> list[dict[str, Any]]:
    """The night's NDCG and recall, one row a split, recommender and list length."""
    rows = lake.read_rows(tables.METRICS, run_date).to_pylist()
    return [row for row in rows if row["metric"] in ("ndcg", "recall")]
