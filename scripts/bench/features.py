"""The features job on made-up events, beside a floor: each table it wrote read, shuffled once by key, sorted, written.

`--events` says how many, 250,000 by default; millions take minutes. Both run once to warm up, then `--repeats` times in
turn. `--beside CHECKOUT` puts another checkout of this project in the place of the floor. `--demo` builds the second
and third night of the demo's shop instead, in which planning is all. `--of-one-user 0.5` gives one user half of all
events, `--memory 1g` is all that Spark has.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path += [str(SCRIPTS / "trial"), str(SCRIPTS / "demo")]

import planted  # noqa: E402 (scripts/demo makes its shop)
import synthetic  # noqa: E402 (scripts/trial makes the events)
from peers.built import Builder, Nights  # noqa: E402
from peers.workers import watched  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402

from recsys_spark import tables  # noqa: E402
from recsys_spark.lake import Lake  # noqa: E402

DATE, FIRST_NIGHT = dt.date(2024, 1, 31), dt.date(2024, 3, 1)
WRITTEN = (
    tables.FEATURE_COLUMNS, tables.ITEM_FEATURES, tables.SEGMENT_POPULARITY, tables.USER_FEATURES, tables.TRUTH,
    tables.SEEN_ITEMS, tables.HISTORIES, tables.BLOCKED_ITEMS, tables.SEQUENCE_EXAMPLES,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=250_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--of-one-user", type=float, default=0.0)
    parser.add_argument("--memory", default="6g")
    parser.add_argument("--beside", help="folder of another checkout")
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="so small that it shows only that it runs")
    args = parser.parse_args()
    if args.tiny:
        args.events, args.repeats = 2_000, 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        nights = shop(folder) if args.demo else many_events(folder, args)
        run_date = dt.date.fromisoformat(nights.run_dates[-1])
        other = Other(args.beside, folder, nights) if args.beside else None
        builder = Builder(nights.of_lake(folder / "lake"))
        ours, theirs, floors = [], [], []
        peaks: list[float] = []
        for _ in nights.run_dates:
            with watched(peaks):
                ours.append(builder.build())
            theirs += [other.build()] if other else []
            if not other and not args.demo:
                floors.append(rewritten(builder.spark, builder.lake, run_date, folder / "floor"))
        rows = {table.name: builder.lake.num_rows(table, run_date) for table in WRITTEN}
        builder.spark.stop()
    seconds, ratios = median(ours), {}
    if floors:
        ratios["floor_job"] = round(seconds / statistics.median(floors[1:] or floors), 3)
    if theirs:
        ratios["old_code"] = round(seconds / median(theirs), 3)
    line = {
        "name": "features",
        "settings": {"users": synthetic.USERS, "items": synthetic.ITEMS, **vars(args)},
        "figures": {
            "seconds": seconds,
            "seconds_cold": ours[0]["seconds"],
            "floor_seconds": floors and round(statistics.median(floors), 1),
            "events_per_second": round(args.events / seconds),
            "worker_gib": max(peaks, default=0.0),
            "rows_written": rows,
            "last": ours[-1],
            "last_of_old_code": theirs and theirs[-1],
        },
        "ratios": ratios,
    }
    print(json.dumps(line))


class Other:
    """Another checkout, which builds the same nights in a process and a lake of its own."""

    def __init__(self, checkout: str, folder: Path, nights: Nights) -> None:
        path = folder / "nights.json"
        path.write_text(json.dumps(nights.of_lake(folder / "other_lake")))
        env = {**os.environ, "PYTHONPATH": checkout}
        command = [sys.executable, str(Path(__file__).parent / "peers" / "built.py"), str(path)]
        self._process = subprocess.Popen(
            command, cwd=checkout, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def build(self) -> dict[str, Any]:
        """Build the next night; what `Builder.build` says of it."""
        if self._process.stdin is None or self._process.stdout is None:
            sys.exit("features: the other checkout has no standard input or output")
        self._process.stdin.write("next\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit("features: the other checkout ended before its night; its error stands above")
        return dict(json.loads(answer))


def median(builds: list[dict[str, Any]]) -> float:
    """Of the seconds, without those of the first build, which warms up."""
    return round(statistics.median(build["seconds"] for build in builds[1:] or builds), 2)


def many_events(folder: Path, args: argparse.Namespace) -> Nights:
    """One night of so many events, again and again."""
    path = folder / "events" / f"synthetic-{DATE}.csv"
    synthetic.write(path, DATE, args.events, of_one_user=args.of_one_user)
    options = {
        "sources.synthetic.mapping": str(SCRIPTS / "trial" / "synthetic.yaml"),
        "sources.synthetic.folder": str(folder / "events"),
        "spark.driver_memory": args.memory,
    }
    return Nights(["local"], options, [str(DATE)] * (1 + args.repeats))


def shop(folder: Path) -> Nights:
    """The nights of the demo: the first is large, and warms up."""
    planted.write(folder / "source", FIRST_NIGHT, nights=3)
    options = {
        "sources.planted.mapping": str(SCRIPTS / "demo" / "mapping.yaml"),
        "sources.planted.folder": str(folder / "source"),
    }
    dates = [str(FIRST_NIGHT + dt.timedelta(days=number)) for number in range(3)]
    return Nights([str(SCRIPTS / "demo" / "settings.yaml")], options, dates)


def rewritten(spark: SparkSession, lake: Lake, run_date: dt.date, folder: Path) -> float:
    """Seconds to read each table's finished rows, shuffle them by key, sort them and write them."""
    shutil.rmtree(folder, ignore_errors=True)
    began = time.perf_counter()
    for table in WRITTEN:
        rows = lake.read(spark, table, run_date)
        key = table.key or tuple(rows.columns[:2])
        rows.repartition(*key).sortWithinPartitions(*key).write.parquet(str(folder / table.name))
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
