"""What a job read of the lake, from Spark's event log: files, columns and rows of every scan."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

START, ADAPTED, DRIVER = (
    f"org.apache.spark.sql.execution.ui.SparkListener{name}"
    for name in ("SQLExecutionStart", "SQLAdaptiveExecutionUpdate", "DriverAccumUpdates")
)
WHOLE_NAMES = 10_000_000  # spark.sql.maxMetadataStringLength under which no location is cut


class Span(NamedTuple):
    """When a job ran, in milliseconds of the epoch."""

    begin: float
    end: float


class Scan(NamedTuple):
    """One Parquet scan: its table, the run dates in its paths, its columns, files and rows."""

    table: str
    run_dates: tuple[str, ...]
    columns: tuple[str, ...]
    files: int
    rows: int


def scans(event_log: Path, lake: Path, spans: dict[Any, Span]) -> dict[Any, list[Scan]]:
    """The scans of lake tables in each span, by the span's key.

    A span without any scan has an empty list. Rows are summed over all task ends of the scan's node; a
    node that opened no file was replaced by another before it ran.
    """
    nodes: dict[Any, dict[int, tuple[dict[str, Any], dict[str, int]]]] = defaultdict(dict)
    values: dict[int, int] = defaultdict(int)
    span_of: dict[int, Any] = {}
    for event in _events(event_log):
        kind = event["Event"]
        if kind == START:
            key = next((key for key, span in spans.items() if span.begin <= event["time"] <= span.end), None)
            span_of[event["executionId"]] = key
        if kind in (START, ADAPTED):
            key = span_of.get(event["executionId"])
            for node in _nodes(event["sparkPlanInfo"]):
                if key is not None and node["nodeName"].startswith("Scan parquet"):
                    metrics = {metric["name"]: metric["accumulatorId"] for metric in node["metrics"]}
                    nodes[key][metrics["number of output rows"]] = (node["metadata"], metrics)
        elif kind == DRIVER:
            for accumulator, value in event["accumUpdates"]:
                values[accumulator] += value
        elif kind == "SparkListenerTaskEnd":
            for told in event["Task Info"]["Accumulables"]:
                if str(told.get("Update", "")).lstrip("-").isdigit():
                    values[told["ID"]] += int(told["Update"])
    found = {key: [_scan(node, values, lake) for node in nodes[key].values()] for key in spans}
    return {key: sorted(scan for scan in read if scan.files) for key, read in found.items()}


def records_read(event_log: Path, span: Span) -> int:
    """Input records of every task launched in the span, cached and shuffled rows left out by Spark."""
    found = 0
    for event in _events(event_log):
        if (
            event["Event"] == "SparkListenerTaskEnd"
            and span.begin <= event["Task Info"]["Launch Time"] <= span.end
        ):
            found += event.get("Task Metrics", {}).get("Input Metrics", {}).get("Records Read", 0)
    return found


def _events(event_log: Path) -> Iterator[dict[str, Any]]:
    wanted = tuple(f'{{"Event":"{name}"' for name in (START, ADAPTED, DRIVER, "SparkListenerTaskEnd"))
    with event_log.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.startswith(wanted))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan["children"]:
        yield from _nodes(child)


def _scan(node: tuple[dict[str, Any], dict[str, int]], values: dict[int, int], lake: Path) -> Scan:
    about, metrics = node
    paths = re.findall(rf"{re.escape(str(lake))}/([^,\]]+)", about["Location"])
    if "..." in about["Location"] or not paths:
        raise ValueError(
            f"the log cuts the location of a scan, or it is no table of the lake: {about['Location']}"
        )
    dates = {found[1] for path in paths if (found := re.search(r"run_date=([\d-]+)", path))}
    columns = re.fullmatch(r"struct<(.*)>", about["ReadSchema"])
    names = [part.split(":")[0] for part in columns[1].split(",")] if columns and columns[1] else []
    return Scan(
        table="+".join(sorted({path.split("/")[0] for path in paths})),
        run_dates=tuple(sorted(dates)),
        columns=tuple(names),
        files=values[metrics["number of files read"]],
        rows=values[metrics["number of output rows"]],
    )
