"""The features job on made-up events, beside a floor: each table it wrote read, shuffled once by key, sorted, written.

`--events` says how many, 250,000 by default; millions take minutes. Both run once to warm up, then `--repeats` times in
turn. `--of-one-user 0.5` gives one user half of all events, `--memory 1g` is all that Spark has.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import logging
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TRIAL = Path(__file__).resolve().parents[1] / "trial"
sys.path.append(str(TRIAL))

import synthetic  # noqa: E402 (scripts/trial makes the events)
from peers.workers import watched  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402

from recsys_spark import cli, config, night, tables  # noqa: E402
from recsys_spark.config import Config  # noqa: E402
from recsys_spark.jobs import build_features  # noqa: E402
from recsys_spark.lake import Lake  # noqa: E402

DATE = dt.date(2024, 1, 31)
WRITTEN = (
    tables.FEATURE_COLUMNS, tables.ITEM_FEATURES, tables.SEGMENT_POPULARITY, tables.USER_FEATURES, tables.TRUTH,
    tables.SEEN_ITEMS, tables.HISTORIES, tables.EVENT_EXAMPLES, tables.USER_EXAMPLES, tables.SEQUENCE_EXAMPLES,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=250_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--of-one-user", type=float, default=0.0)
    parser.add_argument("--memory", default="6g")
    parser.add_argument("--tiny", action="store_true", help="so small that it shows only that it runs")
    args = parser.parse_args()
    if args.tiny:
        args.events, args.repeats = 5_000, 0
    with tempfile.TemporaryDirectory() as folder:
        settings = loaded(Path(folder), args)
        spark, lake = cli.session(settings, "bench"), Lake(settings.lake.root)
        spark.sparkContext.setLogLevel("ERROR")
        stages = Stages()
        written = logging.getLogger("recsys_spark.lake.lake")
        written.setLevel(logging.INFO)
        written.addHandler(stages)
        taken, floors = [], []
        peaks: list[float] = []
        for _ in range(1 + args.repeats):
            with watched(peaks):
                taken.append(built(spark, lake, settings, stages))
            floors.append(sum(rewritten(spark, lake, table, Path(folder) / "floor") for table in WRITTEN))
        rows = {table.name: lake.num_rows(table, DATE) for table in WRITTEN}
        spark.stop()
    seconds, floor = (statistics.median(times[1:] or times) for times in (taken, floors))
    line = {
        "name": "features",
        "settings": {"users": synthetic.USERS, "items": synthetic.ITEMS, **vars(args)},
        "figures": {
            "seconds": round(seconds, 1),
            "seconds_cold": round(taken[0], 1),
            "floor_seconds": round(floor, 1),
            "events_per_second": round(args.events / seconds),
            "worker_gib": max(peaks),
            "rows_written": rows,
            "seconds_by_table": stages.seconds(),
        },
        "ratios": {"floor_job": round(seconds / floor, 3)},
    }
    print(json.dumps(line))


class Stages(logging.Handler):
    """When each table of the last run was written."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.start()

    def start(self) -> None:
        self._began = time.perf_counter()
        self._written: list[tuple[str, float]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith("table_written"):
            self._written.append((str(record.args[0]), time.perf_counter()))  # type: ignore[index]

    def seconds(self) -> dict[str, float]:
        """Seconds from the table before (or the start) to each."""
        found: Counter[str] = Counter()
        began = self._began
        for name, at in self._written:
            found[name] += round(at - began, 1)
            began = at
        return dict(found)


def built(spark: SparkSession, lake: Lake, settings: Config, stages: Stages) -> float:
    """Seconds of the job."""
    stages.start()
    began = time.perf_counter()
    build_features.run(spark, lake, settings, DATE)
    return time.perf_counter() - began


def loaded(folder: Path, args: argparse.Namespace) -> Config:
    """Settings of a lake below `folder` into which so many events have been taken and numbered."""
    path = folder / "events" / f"synthetic-{DATE}.csv"
    synthetic.write(path, DATE, args.events, of_one_user=args.of_one_user)
    options = {
        "lake.root": folder / "lake",
        "sources.synthetic.mapping": TRIAL / "synthetic.yaml",
        "sources.synthetic.folder": folder / "events",
        "spark.driver_memory": args.memory,
    }
    settings = config.load(["local"], [f"{key}={value}" for key, value in options.items()])
    run = night.in_one_session(settings, DATE)
    for job in ("ingest", "build_index"):
        outcome = run(job)
        if outcome.exit_status:
            sys.exit(f"features: {job} ended with {outcome.exit_status}: {outcome.message}")
    return settings


def rewritten(spark: SparkSession, lake: Lake, table: tables.Table, folder: Path) -> float:
    """Seconds to read a table's finished rows, shuffle them by key, sort them and write them."""
    shutil.rmtree(folder / table.name, ignore_errors=True)
    began = time.perf_counter()
    rows = lake.read(spark, table, DATE)
    key = table.key or tuple(rows.columns[:2])
    rows.repartition(*key).sortWithinPartitions(*key).write.parquet(str(folder / table.name))
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
