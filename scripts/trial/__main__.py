"""Thirty nights of a real shop, one file a night, held to what the nights promise: `make trial`.

First the whole night, training on every tenth; then ingest and index alone on a lake that already holds
millions of made-up events. Prints what it sees, then its figures as one line of JSON; exit status 1 when
anything promised does not hold.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("RECSYS_LOG_LEVEL", "WARNING")

import checks
import passes
import quality
import reads
import shop
import synthetic
from passes import ARRIVAL_JOBS, Seen, Trial

from recsys_spark import cli
from recsys_spark.lake import Lake


class Size(NamedTuple):
    """How many nights, which of them train, and the made-up events that the second lake holds before.

    Attributes:
        more: settings beside those of the file.
    """

    nights: int
    events: int
    train_every: int = 10
    more: tuple[str, ...] = ()


TINY = Size(
    nights=2,
    events=5_000,
    train_every=2,
    more=(
        "self_attention.epochs=1",
        "self_attention.embedding_dim=8",
        "self_attention.num_blocks=1",
        "evaluate.bootstrap_samples=100",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data", help="folder with online-retail/by-day")
    parser.add_argument(
        "--folder", default=".trial", help="where the lakes, the made-up file and the log lie"
    )
    parser.add_argument("--nights", type=int, default=30, help="trading days")
    parser.add_argument("--events", type=int, default=synthetic.EVENTS, help="made-up events loaded before")
    parser.add_argument(
        "--tiny", action="store_true", help="a made-up shop, so small that it shows only that it runs"
    )
    args = parser.parse_args()
    size = TINY if args.tiny else Size(args.nights, args.events)
    started = time.monotonic()
    folder, source = Path(args.folder).absolute(), (Path(args.data) / "online-retail" / "by-day").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "events").mkdir(parents=True)
    if args.tiny:
        source = folder / "shop"
        shop.write(source, size.nights)
    days = [dt.date.fromisoformat(path.stem) for path in sorted(source.glob("*.csv"))[: size.nights]]
    if len(days) < size.nights:
        sys.exit(f"trial: {source} holds {len(days)} days, expected {size.nights}")
    cli.configure_logging()
    trial = Trial(folder, source, days, size.train_every, size.more)

    say(f"{len(days)} nights from {days[0]} to {days[-1]}, one in {size.train_every} trains")
    whole = passes.nights(trial, "lake")
    figures = quality.figures(Lake(str(folder / "lake")), days, size.train_every)
    before = days[0] - dt.timedelta(days=1)
    say(f"{size.events:,} made-up events arrive on {before}, then the same nights, ingest and index only")
    num_bytes = synthetic.write(folder / "synthetic" / f"synthetic-{before}.csv", before, size.events)
    loading = passes.load(trial, "lake-loaded", before)
    print(f"   {num_bytes / 1e6:.0f} MB; seconds: {loading}")
    loaded = passes.nights(trial, "lake-loaded", ARRIVAL_JOBS)

    passes.session(trial).stop()
    (event_log,) = (folder / "events").iterdir()
    for lake, seen in (("lake", whole), ("lake-loaded", loaded)):
        what_was_read(event_log, folder / lake, seen, trial)
    faults = whole.faults + loaded.faults
    say("Everything promised holds" if not faults else "\n   ".join(["What does not hold:", *faults]))
    line = {
        "name": "trial",
        "settings": {"nights": len(days), "train_every": size.train_every, "loaded_events": size.events},
        "figures": {
            "records": whole.records,
            "seconds_by_job": {job: summary(taken) for job, taken in whole.seconds.items()},
            "seconds_by_night": [round(sum(taken), 1) for taken in zip(*whole.seconds.values(), strict=True)],
            **figures,
            "loading_seconds": loading,
            "loaded_seconds_by_job": {job: summary(taken) for job, taken in loaded.seconds.items()},
            "faults": len(faults),
            "seconds": round(time.monotonic() - started),
        },
        # The same nights beside millions of events and beside few.
        "ratios": {
            f"{job}_loaded": round(
                statistics.median(loaded.seconds[job]) / statistics.median(whole.seconds[job]), 3
            )
            for job in ARRIVAL_JOBS
        },
    }
    print(json.dumps(line, sort_keys=True))
    sys.exit(1 if faults else 0)


def what_was_read(event_log: Path, lake: Path, seen: Seen, trial: Trial) -> None:
    """Print and check what ingest and index of the measured nights read; faults go to `seen`.

    Features, which do read earlier nights, show that the log would tell.
    """
    jobs, measured = (*ARRIVAL_JOBS, "build_features"), passes.measured(trial)
    spans = {key: span for key, span in seen.spans.items() if key[0] in measured and key[1] in jobs}
    say(f"What ingest and index read of {lake.name}, from Spark's event log")
    for (number, job), read in reads.scans(event_log, lake, spans).items():
        run_date = trial.days[number - 1]
        seen.faults.extend(checks.unseen_reads(job, run_date, read))
        if job not in ARRIVAL_JOBS:
            continue
        seen.faults.extend(checks.unwanted_reads(job, run_date, read))
        lines = [
            f"{scan.table} {','.join(scan.run_dates) or 'all'}: columns {','.join(scan.columns) or 'none'}, "
            f"{scan.files} files, {scan.rows} rows"
            for scan in read
        ]
        records = reads.records_read(event_log, spans[number, job])
        print("\n      ".join([f"   night {number}, {job} ({records} input records of all tasks):", *lines]))


def summary(seconds: list[float]) -> dict[str, float]:
    return {
        "first": seconds[0],
        "median": round(statistics.median(seconds), 1),
        "max": max(seconds),
        "last": seconds[-1],
        "sum": round(sum(seconds), 1),
    }


def say(text: str) -> None:
    print(f"\n>> {text}", flush=True)


if __name__ == "__main__":
    main()
