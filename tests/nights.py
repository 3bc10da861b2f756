"""Tiny whole nights for tests: a planted source, its settings, and tables as multisets of rows."""

from __future__ import annotations

import datetime as dt
import importlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import planted
from pyspark.sql import SparkSession

from recsys_spark import cli, config, night, tables
from recsys_spark.config import Config
from recsys_spark.lake import Lake

# Of a JVM for short jobs: compile fast, not well, collect without threads beside ours.
SHORT_JOBS = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC"
FIRST = dt.date(2024, 3, 1)
SECOND, THIRD = FIRST + dt.timedelta(days=1), FIRST + dt.timedelta(days=2)
USERS, N = 60, 5
ONE_EVENT, NEWCOMER, NO_EVENT = "one, event 007 🐟", "after the cut", "new visitor, café ☕"
NEVER_SEEN = "0-never, seen ✨"
MAPPING = Path(planted.__file__).parent / "mapping.yaml"
OPTIONS = {
    "spark.master": "local[2]",
    "spark.driver_memory": "1g",
    "spark.shuffle_partitions": "2",
    "spark.conf": f"{{spark.driver.extraJavaOptions: '{SHORT_JOBS}'}}",
    "ingest.max_quarantined_share": "0.2",
    "features.event_types": "[rating]",
    "features.history_length": "10",
    "features.num_categories": "3",
    "features.title_buckets": "4",
    "split.valid_days": "2",
    "split.test_days": "2",
    "split.min_users": "20",
    "self_attention.embedding_dim": "16",
    "self_attention.num_blocks": "1",
    "self_attention.num_heads": "1",
    "self_attention.dropout": "0.0",
    "self_attention.learning_rate": "0.02",
    "self_attention.epochs": "8",
    "self_attention.batch_size": "64",
    "recommend.num_items": str(N),
    "recommend.num_similar": "3",
    "evaluate.ks": "[5]",
    "evaluate.bootstrap_samples": "100",
    "publish.k": "5",
}


def write_source(folder: Path, nights: int = 3) -> Path:
    """The planted shop, small: every event at noon, so ties abound; one odd user, one item nobody saw."""
    planted.write(folder, FIRST, nights, backfill_days=40, users=USERS, genres=("Comedy", "Drama"))
    for file in (folder / "events").glob("*.csv"):
        file.write_text(re.sub(r"T\d\d:\d\d:\d\dZ", "T12:00:00Z", file.read_text()))
    add(folder / "events" / f"{FIRST}.csv", f'"{ONE_EVENT}",Drama-003,2024-02-20T12:00:00Z,4')
    add(folder / "catalogue.csv", f'"{NEVER_SEEN}",Nobody Saw It (2024),Drama,3.50')
    return folder


def add(file: Path, *lines: str) -> None:
    """Put lines at the end of a file."""
    with file.open("a", encoding="utf-8") as opened:
        opened.writelines(f"{line}\r\n" for line in lines)


def options(root: Path, source: Path, **changes: str) -> list[str]:
    """Settings as `--set` takes them; `changes` spell a dot as two underscores."""
    chosen = {
        "lake.root": str(root),
        "sources.shop.mapping": str(MAPPING),
        "sources.shop.folder": str(source),
        "train.work_dir": str(root.parent / f"{root.name}-work"),
        **OPTIONS,
        **{name.replace("__", "."): value for name, value in changes.items()},
    }
    return [f"{name}={value}" for name, value in chosen.items()]


def settings(root: Path, source: Path, **changes: str) -> Config:
    """The settings of a night in this process."""
    return config.load([], options(root, source, **changes))


def run(
    spark: SparkSession, chosen: Config, run_date: dt.date, jobs: Sequence[str] = night.JOBS
) -> cli.Outcome:
    """Run these jobs of a night in the given session; the outcome of the last one that ran."""
    for job in jobs:
        module = importlib.import_module(f"recsys_spark.jobs.{job}")
        outcome = cli.execute(job, module.run, chosen, run_date, lambda: spark)
        if outcome.exit_status:
            break
    return outcome


def content(
    root: Path | str, run_date: dt.date | None = None, only: Sequence[tables.Table] = tables.ALL
) -> dict[str, Counter[str]]:
    """Every table of a date (None: of all) as the multiset of its rows; all but the clock times of `runs`."""
    lake = Lake(str(root))
    found = {}
    for table in only:
        if table is not tables.RUNS:
            dated = run_date if table.partitions else None
            found[table.name] = Counter(map(repr, lake.read_rows(table, dated).to_pylist()))
    return found


def rows(root: Path | str, table: tables.Table, run_date: dt.date | None = None, **where: Any) -> list[Any]:
    """The rows of a table where these columns hold these values."""
    found = Lake(str(root)).read_rows(table, run_date).to_pylist()
    return [row for row in found if all(row[name] == value for name, value in where.items())]
