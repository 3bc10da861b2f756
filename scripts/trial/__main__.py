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
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("RECSYS_LOG_LEVEL", "WARNING")

import checks
import reads
import synthetic
from reads import Span

from recsys_spark import cli, config, night
from recsys_spark.config import Config
from recsys_spark.errors import GateRefusedError
from recsys_spark.lake import Lake

HERE = Path(__file__).parent
TRAIN_EVERY = 10
ARRIVAL_JOBS = ("ingest", "build_index")


class Seen(NamedTuple):
    """What a pass over the nights found."""

    spans: dict[tuple[int, str], Span]
    seconds: dict[str, list[float]]
    records: dict[str, int]
    faults: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data", help="folder with online-retail/by-day")
    parser.add_argument(
        "--folder", default=".trial", help="where the lakes, the made-up file and the log lie"
    )
    parser.add_argument("--nights", type=int, default=30, help="trading days")
    parser.add_argument("--events", type=int, default=synthetic.EVENTS, help="made-up events loaded before")
    args = parser.parse_args()
    started = time.monotonic()
    folder, source = Path(args.folder).absolute(), (Path(args.data) / "online-retail" / "by-day").absolute()
    days = [dt.date.fromisoformat(path.stem) for path in sorted(source.glob("*.csv"))[: args.nights]]
    if len(days) < args.nights:
        sys.exit(f"trial: {source} holds {len(days)} days, expected {args.nights}")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "events").mkdir(parents=True)
    cli.configure_logging()

    say(f"{len(days)} nights from {days[0]} to {days[-1]}, training on every tenth")
    whole = nights(folder, "lake", source, days, night.JOBS)
    figures = quality(Lake(str(folder / "lake")), days)
    before = days[0] - dt.timedelta(days=1)
    say(f"{args.events:,} made-up events arrive on {before}, then the same nights, ingest and index only")
    size = synthetic.write(folder / "synthetic" / f"synthetic-{before}.csv", before, args.events)
    loading = load(
        settings(folder, "lake-loaded", "synthetic", folder / "synthetic", HERE / "synthetic.yaml"), before
    )
    print(f"   {size / 1e6:.0f} MB; seconds: {loading}")
    loaded = nights(folder, "lake-loaded", source, days, ARRIVAL_JOBS)

    session(folder, source).stop()
    (event_log,) = (folder / "events").iterdir()
    told = {"lake": what_was_read(event_log, folder / "lake", whole, days)}
    told["lake-loaded"] = what_was_read(event_log, folder / "lake-loaded", loaded, days)
    faults = whole.faults + loaded.faults
    say("Everything promised holds" if not faults else "\n   ".join(["What does not hold:", *faults]))
    line = {
        "nights": len(days),
        "records": whole.records,
        "seconds_by_job": {job: summary(found) for job, found in whole.seconds.items()},
        "seconds_by_night": [round(sum(found), 1) for found in zip_nights(whole.seconds)],
        **figures,
        "loaded_events": args.events,
        "loading_seconds": loading,
        "loaded_seconds_by_job": {job: summary(found) for job, found in loaded.seconds.items()},
        "rows_read": told,
        "faults": faults,
        "seconds": round(time.monotonic() - started),
    }
    print(json.dumps(line, sort_keys=True))
    sys.exit(1 if faults else 0)


def settings(folder: Path, lake: str, name: str, source: Path, mapping: Path | str, *more: str) -> Config:
    options = {
        "lake.root": folder / lake,
        "spark.conf": f"{{spark.eventLog.dir: 'file://{folder}/events'}}",
        f"sources.{name}.mapping": mapping,
        f"sources.{name}.folder": source,
    }
    given = [f"{key}={value}" for key, value in options.items()]
    return config.load([str(HERE / "settings.yaml")], [*given, *more])


def session(folder: Path, source: Path) -> Any:
    return cli.session(settings(folder, "lake", "retail", source, "online_retail"), "nightly")


def nights(folder: Path, lake_name: str, source: Path, days: list[dt.date], jobs: tuple[str, ...]) -> Seen:
    """Run the jobs of every night and check the lake after each."""
    seen = Seen({}, defaultdict(list), defaultdict(int), [])
    lake = Lake(str(folder / lake_name))
    known = {kind: checks.numbers(lake, kind) for kind in checks.INDEXES}
    for number, run_date in enumerate(days, 1):
        is_training = number % TRAIN_EVERY == 0
        chosen = settings(
            folder, lake_name, "retail", source, "online_retail", f"train.enabled={str(is_training).lower()}"
        )
        whole_names = reads.WHOLE_NAMES if number in measured(days) else 100
        session(folder, source).conf.set("spark.sql.maxMetadataStringLength", whole_names)
        runner = night.in_one_session(chosen, run_date)
        for job in jobs:
            begin = time.time() * 1000
            outcome = runner(job)
            seen.spans[number, job] = Span(begin, time.time() * 1000)
            seen.seconds[job].append(outcome.seconds)
            if outcome.exit_status:
                said = f"night {number}, {job}: status {outcome.exit_status}: {outcome.message}"
                print(f"   {said}", flush=True)
                if outcome.exit_status != GateRefusedError.exit_status:
                    sys.exit(f"trial: {said}")
        counts, faults = checks.account(lake, source, run_date)
        for name, count in counts.items():
            seen.records[name] += count
        now = {kind: checks.numbers(lake, kind) for kind in checks.INDEXES}
        faults += [f"{k}_index changed on {run_date}" for k in now if not checks.only_grew(known[k], now[k])]
        seen.faults.extend(faults)
        grown = ", ".join(f"{len(now[kind])} {kind}s (+{len(now[kind]) - len(known[kind])})" for kind in now)
        took = " ".join(f"{job} {seen.seconds[job][-1]}" for job in jobs)
        print(f"{number:>3} {run_date}  {counts}; {grown}; seconds: {took}", flush=True)
        known = now
    return seen


def load(chosen: Config, run_date: dt.date) -> dict[str, float]:
    runner = night.in_one_session(chosen, run_date)
    found = {}
    for job in ARRIVAL_JOBS:
        outcome = runner(job)
        if outcome.exit_status:
            sys.exit(f"trial: loading, {job}: status {outcome.exit_status}: {outcome.message}")
        found[job] = outcome.seconds
    return found


def measured(days: list[dt.date]) -> tuple[int, int]:
    return 2, len(days)


def what_was_read(event_log: Path, lake: Path, seen: Seen, days: list[dt.date]) -> dict[str, list[str]]:
    """Print and check what ingest and index of the measured nights read; faults go to `seen`.

    Features, which do read earlier nights, show that the log would tell.
    """
    jobs = (*ARRIVAL_JOBS, "build_features")
    spans = {key: span for key, span in seen.spans.items() if key[0] in measured(days) and key[1] in jobs}
    found: dict[str, list[str]] = {}
    say(f"What ingest and index read of {lake.name}, from Spark's event log")
    for (number, job), read in reads.scans(event_log, lake, spans).items():
        seen.faults.extend(checks.unseen_reads(job, days[number - 1], read))
        if job not in ARRIVAL_JOBS:
            continue
        seen.faults.extend(checks.unwanted_reads(job, days[number - 1], read))
        lines = [
            f"{scan.table} {','.join(scan.run_dates) or 'all'}: columns {','.join(scan.columns) or 'none'}, "
            f"{scan.files} files, {scan.rows} rows"
            for scan in read
        ]
        found[f"{number} {job}"] = lines
        records = reads.records_read(event_log, spans[number, job])
        print("\n      ".join([f"   night {number}, {job} ({records} input records of all tasks):", *lines]))
    return found


def quality(lake: Lake, days: list[dt.date]) -> dict[str, Any]:
    """The figures of the training nights, and the means of the live lists over the nights."""
    rows = {number: checks.metrics(lake, day) for number, day in enumerate(days, 1)}
    trained = [n for n in rows if n % TRAIN_EVERY == 0]
    judged: dict[str, dict[str, Any]] = {}
    for number in trained:
        told = judged[str(number)] = {}
        for row in rows[number]:
            if row["split"] == "time":
                told[f"{row['recommender']} {row['metric']}@{row['k']}"] = round(row["value"], 4)
                told["users"], told["is_judged"] = row["num_users"], row["is_judged"]
        say(f"Night {number}, lists of the twin on the test days: {told}")
    live: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for found in rows.values():
        for row in found:
            if row["split"] == "live" and row["value"] is not None:
                live[f"{row['recommender']} {row['metric']}@{row['k']}"].append(
                    (row["value"], row["num_users"])
                )
    means = {name: round(statistics.fmean(v for v, _ in told), 4) for name, told in live.items()}
    users = max((sum(n for _, n in told) for told in live.values()), default=0)
    say(f"Live lists on what happened next, mean of the nights ({users} users in all): {means}")
    return {"judged": judged, "live_mean": means, "live_users": users}


def zip_nights(seconds: dict[str, list[float]]) -> Any:
    return zip(*seconds.values(), strict=True)


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
