"""From a command line to a job's run: the one place that parses, logs, records and exits.

What a person waits for (help, a mistyped word) needs neither Spark nor a lake: they are imported where they are used.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from recsys_spark import models, runs
from recsys_spark.errors import RecsysError
from recsys_spark.failures import as_known, one_line
from recsys_spark.runs import Outcome
from recsys_spark.session import session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recsys_spark.config import Config
    from recsys_spark.lake import Lake

    Run = Callable[[Any, Lake, Config, dt.date], None]

log = logging.getLogger(__name__)

Day = Annotated[dt.datetime, typer.Option("--date", formats=["%Y-%m-%d"], help="Run date, a UTC day.")]
Overlays = Annotated[
    list[str] | None, typer.Option("--config", help="Settings file, or a name in conf/; later ones win.")
]
Options = Annotated[list[str] | None, typer.Option("--set", help="section.key=value; wins over all files.")]


def main(run: Run) -> None:
    """Run one job as a program: `spark-submit jobs/ingest.py --date 2024-01-31`."""
    job = Path(sys.argv[0]).stem
    module = sys.modules[run.__module__]

    def command(date: Day, config: Overlays = None, set: Options = None) -> None:
        settings = load_or_exit(config or (), set or ())
        outcome = execute(job, run, settings, date.date(), lambda: session(settings, job))
        raise typer.Exit(outcome.exit_status)

    command.__doc__ = f"\b\n{module.__doc__}"
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    app()


def load_or_exit(overlays: Sequence[str], options: Sequence[str]) -> Config:
    """Start logging and read the settings, or leave with their line and status."""
    from recsys_spark.config import load

    configure_logging()
    try:
        return load(overlays, options)
    except RecsysError as error:
        fail(error)


def fail(error: RecsysError) -> NoReturn:
    """Log the error's one line and leave with its status."""
    log.error("failed error=%s %s", type(error).__name__, error)
    raise typer.Exit(error.exit_status)


def configure_logging() -> None:
    """Send `event key=value` lines to standard error; other libraries only their warnings."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    logging.Formatter.converter = time.gmtime
    logging.getLogger("recsys_spark").setLevel(os.environ.get("RECSYS_LOG_LEVEL", "INFO"))
    logging.getLogger("py4j").setLevel(logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def execute(
    job: str, run: Run, config: Config, run_date: dt.date, spark: Callable[[], SparkSession]
) -> Outcome:
    """Run a job, turn what it raises into one line and a status, and record it in `runs`.

    An exception that is not a RecsysError is a bug: it is recorded with status 1 and keeps its traceback.
    """
    from recsys_spark.lake import Lake

    started, clock = dt.datetime.now(dt.UTC), time.monotonic()
    status, message, lake = 0, None, None
    try:
        lake = Lake(config.lake.root)
        run(spark() if _needs_spark(job, config) else None, lake, config, run_date)
    except Exception as error:
        known = as_known(error)
        if known is None:
            status, message = 1, f"{type(error).__name__}: {one_line(error)}"
            log.exception("bug job=%s run_date=%s", job, run_date)
        else:
            status, message = known.exit_status, one_line(known)
            log.error(
                "job_failed job=%s run_date=%s error=%s %s", job, run_date, type(known).__name__, message
            )
            log.debug("cause", exc_info=error)
    seconds = time.monotonic() - clock
    if lake is not None:
        runs.record(lake, config, run_date, Outcome(job, status, seconds, message), started)
    log.info("job_done job=%s run_date=%s exit_status=%d seconds=%.1f", job, run_date, status, seconds)
    return Outcome(job, status, round(seconds, 1), message)


def _needs_spark(job: str, config: Config) -> bool:
    """Only `train` may do without: one TensorFlow worker reads the lake's files by itself."""
    if job != "train":
        return True
    fitted_by = {models.ALL[name].fitted_by for name in config.recommend.recommenders}
    is_shared = "network" in fitted_by and config.train.num_workers > 1
    return config.train.enabled and ("spark" in fitted_by or is_shared)
