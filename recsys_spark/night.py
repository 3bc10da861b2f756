"""The night: every job's run in order, in one Spark session or one spark-submit each."""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_spark import cli, tables
from recsys_spark import jobs as jobs_package
from recsys_spark.errors import RecsysError
from recsys_spark.runs import Outcome
from recsys_spark.session import session

if TYPE_CHECKING:  # the command line lists the jobs before anybody needs Spark or a lake
    from recsys_spark.config import Config
    from recsys_spark.lake import Lake

JOBS = (
    "ingest",
    "build_index",
    "build_features",
    "train",
    "recommend",
    "check",
    "evaluate",
    "publish",
)

Runner = Callable[[str], Outcome]


def run(config: Config, run_date: dt.date, runner: Runner) -> dict[str, Any]:
    """Run the jobs in order until one fails; returns the night as plain values for its JSON."""
    started = time.monotonic()
    outcomes: list[Outcome] = []
    for job in JOBS:
        outcomes.append(runner(job))
        if outcomes[-1].exit_status:
            break
    last = outcomes[-1]
    return {
        "run_date": str(run_date),
        "exit_status": last.exit_status,
        "failed_job": last.job if last.exit_status else None,
        "message": last.message,
        "seconds": round(time.monotonic() - started, 1),
        "jobs": [{"job": o.job, "exit_status": o.exit_status, "seconds": o.seconds} for o in outcomes],
        **_counts(config, run_date),
    }


def in_one_session(config: Config, run_date: dt.date) -> Runner:
    """Each job's `run`, called here; one Spark session serves them all."""

    def runner(job: str) -> Outcome:
        module = importlib.import_module(f"recsys_spark.jobs.{job}")
        return cli.execute(job, module.run, config, run_date, lambda: session(config, "nightly"))

    return runner


def submit_each(config: Config, run_date: dt.date, overlays: Sequence[str], options: Sequence[str]) -> Runner:
    """Each job as a spark-submit of its own, as a scheduler with one task a job does."""
    from recsys_spark.config import CONF

    pyspark = importlib.util.find_spec("pyspark")
    spark_submit = Path(str(pyspark and pyspark.origin)).parent / "bin" / "spark-submit"
    folder = Path(str(jobs_package.__file__)).parent
    flags = [part for name in overlays for part in ("--config", name)]
    flags += [part for option in options for part in ("--set", option)]
    env = {"PYSPARK_PYTHON": sys.executable, "SPARK_CONF_DIR": str(CONF), **os.environ}

    def runner(job: str) -> Outcome:
        command = [str(spark_submit), "--master", config.spark.master]
        command += ["--driver-memory", config.spark.driver_memory]
        command += [str(folder / f"{job}.py"), "--date", str(run_date), *flags]
        clock = time.monotonic()
        done = subprocess.run(command, env=env, check=False)
        return Outcome(job, done.returncode, round(time.monotonic() - clock, 1))

    return runner


def to_json(night: dict[str, Any], path: str | None) -> None:
    """Print the night as one line on standard output and, if asked, put it into a file."""
    line = json.dumps(night, sort_keys=True)
    if path:
        part = Path(f"{path}.part")
        part.write_text(line + "\n")
        part.replace(path)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _counts(config: Config, run_date: dt.date) -> dict[str, Any]:
    """Rows of tonight's tables, from the commits. Active users are those who get a list, ranked tonight or kept."""
    from recsys_spark.lake import Lake

    try:
        lake = Lake(config.lake.root)
        return {
            "active_users": lake.num_rows(tables.LISTS, run_date, cut="night"),
            "kept_lists": _kept(lake, config, run_date),
            "rows": {
                table.name: lake.num_rows(table, run_date)
                for table in (tables.INTERACTIONS, tables.QUARANTINE, tables.RECOMMENDATIONS)
            },
            "live_run_date": str(max(lake.dates(tables.RECOMMENDATIONS), default="")) or None,
        }
    except RecsysError as error:
        return {"counts_unknown": str(error)}


def _kept(lake: Lake, config: Config, run_date: dt.date) -> int:
    if not config.recommend.only_changed:
        return 0
    from recsys_spark.scoring import unchanged

    lists = lake.read_rows(tables.LISTS, run_date, cut="night", columns=["ranked_on"])
    return unchanged.num_kept(lists["ranked_on"], run_date)
