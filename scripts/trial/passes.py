"""A pass over the nights of a trial: its jobs in one session, the lake held to its promises after each night."""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import checks
import reads
from reads import Span

from recsys_spark import cli, config, night
from recsys_spark.config import Config
from recsys_spark.errors import GateRefusedError
from recsys_spark.lake import Lake

HERE = Path(__file__).parent
ARRIVAL_JOBS = ("ingest", "build_index")


class Trial(NamedTuple):
    """What the nights are made of.

    Attributes:
        folder: of the lakes and the log.
        source: of the shop's files.
        train_every: a night of so many trains.
        more: settings beside those of the file.
    """

    folder: Path
    source: Path
    days: Sequence[dt.date]
    train_every: int
    more: Sequence[str]


class Seen(NamedTuple):
    """What a pass over the nights found."""

    spans: dict[tuple[int, str], Span]
    seconds: dict[str, list[float]]
    records: dict[str, int]
    faults: list[str]


def session(trial: Trial) -> Any:
    return cli.session(_of_shop(trial, "lake"), "nightly")


def measured(trial: Trial) -> tuple[int, int]:
    """The nights whose reads are looked at."""
    return 2, len(trial.days)


def nights(trial: Trial, lake_name: str, jobs: Sequence[str] = night.JOBS) -> Seen:
    """Run the jobs of every night and check the lake after each."""
    seen = Seen({}, defaultdict(list), defaultdict(int), [])
    lake = Lake(str(trial.folder / lake_name))
    known = {kind: checks.numbers(lake, kind) for kind in checks.INDEXES}
    for number, run_date in enumerate(trial.days, 1):
        is_training = number % trial.train_every == 0
        settings = _of_shop(trial, lake_name, f"train.enabled={str(is_training).lower()}", *trial.more)
        whole_names = reads.WHOLE_NAMES if number in measured(trial) else 100
        session(trial).conf.set("spark.sql.maxMetadataStringLength", whole_names)
        runner = night.in_one_session(settings, run_date)
        for job in jobs:
            begin = time.time() * 1000
            outcome = runner(job)
            seen.spans[number, job] = Span(begin, time.time() * 1000)
            seen.seconds[job].append(outcome.seconds)
            if outcome.exit_status:
                ended = f"night {number}, {job}: status {outcome.exit_status}: {outcome.message}"
                print(f"   {ended}", flush=True)
                if outcome.exit_status != GateRefusedError.exit_status:
                    sys.exit(f"trial: {ended}")
        counts, faults = checks.account(lake, trial.source, run_date)
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


def load(trial: Trial, lake_name: str, run_date: dt.date) -> dict[str, float]:
    """Take the made-up events in; seconds by job."""
    made_up = trial.folder / "synthetic"
    settings = _settings(trial, lake_name, "synthetic", made_up, HERE / "synthetic.yaml")
    runner = night.in_one_session(settings, run_date)
    seconds = {}
    for job in ARRIVAL_JOBS:
        outcome = runner(job)
        if outcome.exit_status:
            sys.exit(f"trial: loading, {job}: status {outcome.exit_status}: {outcome.message}")
        seconds[job] = outcome.seconds
    return seconds


def _of_shop(trial: Trial, lake_name: str, *more: str) -> Config:
    return _settings(trial, lake_name, "retail", trial.source, "online_retail", *more)


def _settings(
    trial: Trial, lake_name: str, name: str, source: Path, mapping: Path | str, *more: str
) -> Config:
    # In a file: its keys join those of the file before; `spark.conf` as an option would replace them.
    log = trial.folder / "log.yaml"
    log.write_text(f"spark: {{conf: {{spark.eventLog.dir: 'file://{trial.folder}/events'}}}}\n")
    options = {
        "lake.root": trial.folder / lake_name,
        f"sources.{name}.mapping": mapping,
        f"sources.{name}.folder": source,
    }
    set_here = [f"{key}={value}" for key, value in options.items()]
    return config.load([str(HERE / "settings.yaml"), str(log)], [*set_here, *more])
