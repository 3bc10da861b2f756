"""Run whole nights and show people what came out: `make demo`, or `make demo DATA=path` for real data."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import layouts
import planted
import truth

HERE = Path(__file__).parent
RECSYS = Path(sys.executable).parent / "recsys-spark"
FIRST_NIGHT = dt.date(2024, 3, 1)
NIGHTS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of MovieLens (CSV, ::, 100K) or RecBole (.inter) files")
    parser.add_argument("--folder", default=".demo", help="where the demo's lake and files lie")
    args = parser.parse_args()
    folder = Path(args.folder).absolute()
    if args.data:
        real_data(Path(args.data).absolute(), folder)
    else:
        planted_data(folder)


def planted_data(folder: Path) -> None:
    started = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    planted.write(folder / "source", FIRST_NIGHT, NIGHTS)
    say(f"Made {NIGHTS} nights of events of {planted.USERS} people in {folder / 'source'}")
    settings = [
        "--config",
        str(HERE / "settings.yaml"),
        *options(folder / "lake", "planted", HERE / "mapping.yaml", folder / "source"),
    ]
    for night in range(NIGHTS):
        nightly(FIRST_NIGHT + dt.timedelta(days=night), settings)
    last = FIRST_NIGHT + dt.timedelta(days=NIGHTS - 1)
    for user in ("u0001", "new visitor, café ☕"):
        recsys("show", user, *settings)
    recsys("metrics", "--nights", "3", *settings)
    ours, rule, users = truth.recall_beside_the_rule(str(folder / "lake"), last)
    share = ours / rule
    say(
        f"The planted rule itself reaches recall@10 {rule:.3f} on these {users} people; the neural model "
        f"{ours:.3f}, {share:.0%} of it"
    )
    where(folder)
    say(f"The demo took {time.monotonic() - started:.0f} seconds")
    if share < 0.8:
        sys.exit(f"demo: the model found only {share:.0%} of the planted rule; at least 80 % is expected")


def real_data(data: Path, folder: Path) -> None:
    mapping, run_date = layouts.recognise(data)
    say(f"{data}: read as {mapping}, last event on {run_date}")
    shutil.rmtree(folder, ignore_errors=True)
    local = ["--config", "local"]
    for split in ("leave_last_out", "time"):
        settings = [
            *local,
            *options(folder / f"lake-{split}", mapping, mapping, data),
            "--set",
            f"split.kind={split}",
        ]
        say(f"One night on everything, judged by the split {split}")
        nightly(run_date, settings)
        recsys("metrics", *settings)
        if split == "leave_last_out":
            recsys("show", layouts.some_user(data, mapping), *settings)
    where(folder)


def options(lake: Path, name: str, mapping: Path | str, source: Path) -> list[str]:
    return [
        "--set",
        f"lake.root={lake}",
        "--set",
        f"sources.{name}.mapping={mapping}",
        "--set",
        f"sources.{name}.folder={source}",
    ]


def nightly(run_date: dt.date, settings: list[str]) -> dict[str, object]:
    say(f"Night of {run_date}")
    out = recsys("nightly", "--date", str(run_date), *settings, capture=True)
    night: dict[str, object] = json.loads(out.splitlines()[-1])
    say(
        f"Night of {run_date}: {night['active_users']} active users have a list, {night['rows']}; seconds by job: "
        + ", ".join(f"{job['job']} {job['seconds']}" for job in night["jobs"])  # type: ignore[attr-defined]
    )
    return night


def recsys(*arguments: str, capture: bool = False) -> str:
    command = [str(RECSYS), *arguments]
    env = {"RECSYS_LOG_LEVEL": "WARNING", **os.environ}
    done = subprocess.run(
        command, env=env, stdout=subprocess.PIPE if capture else None, text=True, check=False
    )
    if done.returncode:
        sys.exit(
            f"demo: recsys-spark {arguments[0]} ended with status {done.returncode}; its line stands above"
        )
    return done.stdout or ""


def where(folder: Path) -> None:
    say("Where everything lies (every folder with a _delta_log is a Delta table):")
    for log in sorted(folder.glob("lake*/*/_delta_log")):
        files = sum(1 for _ in log.parent.rglob("*.parquet"))
        print(f"  {log.parent}  {files} Parquet files")
    print(f"  {folder}/lake*/model_files  the models' weights, item vectors and settings")


def say(text: str) -> None:
    print(f"\n>> {text}", flush=True)


if __name__ == "__main__":
    main()
