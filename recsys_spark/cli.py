"""From a command line to a job's run: the one place that parses, logs, records and exits."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from recsys_spark import config as settings
from recsys_spark import errors, models, tables
from recsys_spark.config import CONF, Config
from recsys_spark.errors import BadDataError, MissingInputError, RecsysError, SettingsError
from recsys_spark.lake import Lake

log = logging.getLogger(__name__)

Run = Callable[[Any, Lake, Config, dt.date], None]

Day = Annotated[dt.datetime, typer.Option("--date", formats=["%Y-%m-%d"], help="Run date, a UTC day.")]
Overlays = Annotated[
    list[str] | None, typer.Option("--config", help="Settings file, or a name in conf/; later ones win.")
]
Options = Annotated[list[str] | None, typer.Option("--set", help="section.key=value; wins over all files.")]

# What the results depend on; everything else about Spark is the user's to set.
_REQUIRED = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.adaptive.coalescePartitions.parallelismFirst": "false",  # few files of a useful size
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.unionOutputPartitioning": "false",  # else frames of one partition each are one task, one after the other
    "spark.scheduler.mode": "FAIR",  # jobs of two threads share the cores, small steps do not wait for large ones
}

_JVM_OPTIONS = "spark.driver.extraJavaOptions"
# A JVM warns on standard output, which is for the night's JSON; what the settings add comes after and wins.
_JVM_LOG = "-XX:+DisplayVMOutputToStderr -Xlog:disable -Xlog:all=warning:stderr"


@dataclass(frozen=True)
class Outcome:
    """How one job's run ended: what the `runs` table and the night's JSON say of it."""

    job: str
    exit_status: int
    seconds: float
    message: str | None = None


def main(run: Run) -> None:
    """Run one job as a program: `spark-submit jobs/ingest.py --date 2024-01-31`."""
    job = Path(sys.argv[0]).stem
    module = sys.modules[run.__module__]

    def command(date: Day, config: Overlays = None, set: Options = None) -> None:
        chosen = load_or_exit(config or (), set or ())
        outcome = execute(job, run, chosen, date.date(), lambda: session(chosen, job))
        raise typer.Exit(outcome.exit_status)

    command.__doc__ = f"\b\n{module.__doc__}"
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    app()


def load_or_exit(overlays: Sequence[str], options: Sequence[str]) -> Config:
    """Start logging and read the settings, or leave with their line and status."""
    configure_logging()
    try:
        return settings.load(overlays, options)
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


def session(config: Config, name: str) -> SparkSession:
    """The running Spark session, or a new one as the settings say.

    Raises:
        SettingsError: no Java that Spark can start, or nothing where `spark.py_files` says.
    """
    for path in config.spark.py_files:
        if "://" not in path and not Path(path).is_file():
            raise SettingsError(
                f"spark.py_files {path}: no such file; `make package` makes dist/recsys_spark.zip"
            )
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_CONF_DIR", str(CONF))
    builder = SparkSession.builder.appName(f"recsys-spark {name}")
    submitted = "SPARK_ENV_LOADED" in os.environ or "PYSPARK_GATEWAY_PORT" in os.environ
    if not submitted:
        builder = builder.master(config.spark.master).config(
            "spark.driver.memory", config.spark.driver_memory
        )
        if config.spark.master.startswith("local"):
            builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config(
                "spark.driver.host", "127.0.0.1"
            )
    builder = builder.config("spark.sql.shuffle.partitions", config.spark.shuffle_partitions)
    conf = dict(config.spark.conf)
    if not submitted:
        conf[_JVM_OPTIONS] = f"{_JVM_LOG} {conf.get(_JVM_OPTIONS, '')}".strip()
    for key, value in {**conf, **_REQUIRED}.items():
        builder = builder.config(key, value)
    try:
        started = builder.getOrCreate()
    except PySparkException as error:
        raise SettingsError(
            "Spark did not start: it needs Java 17 or newer; install one (Debian: openjdk-17-jre-headless) or set "
            f"JAVA_HOME, or run `make setup`, which brings one for this project ({_line(error)})"
        ) from error
    # Not by spark.submit.pyFiles: spark-submit would put the archive on the driver's path too, before this code.
    sent = {name.rpartition("/")[2] for name in started.sparkContext.listFiles}
    for path in config.spark.py_files:
        if path.rpartition("/")[2] not in sent:
            started.sparkContext.addPyFile(path)
    return started


@contextmanager
def spark_settings(spark: SparkSession, settings: Mapping[str, str | int | bool]) -> Iterator[None]:
    """Settings of the session while a block runs; each must have a value before."""
    before = {key: str(spark.conf.get(key)) for key in settings}
    for key, value in settings.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, old in before.items():
            spark.conf.set(key, old)


def execute(
    job: str, run: Run, config: Config, run_date: dt.date, spark: Callable[[], SparkSession]
) -> Outcome:
    """Run a job, turn what it raises into one line and a status, and record it in `runs`.

    An exception that is not a RecsysError is a bug: it is recorded with status 1 and keeps its traceback.
    """
    started, clock = dt.datetime.now(dt.UTC), time.monotonic()
    status, message, lake = 0, None, None
    try:
        lake = Lake(config.lake.root)
        run(spark() if _needs_spark(job, config) else None, lake, config, run_date)
    except Exception as error:
        known = as_known(error)
        if known is None:
            status, message = 1, f"{type(error).__name__}: {_line(error)}"
            log.exception("bug job=%s run_date=%s", job, run_date)
        else:
            status, message = known.exit_status, _line(known)
            log.error(
                "job_failed job=%s run_date=%s error=%s %s", job, run_date, type(known).__name__, message
            )
            log.debug("cause", exc_info=error)
    seconds = time.monotonic() - clock
    if lake is not None:
        _record(lake, config, job, run_date, Outcome(job, status, seconds, message), started)
    log.info("job_done job=%s run_date=%s exit_status=%d seconds=%.1f", job, run_date, status, seconds)
    return Outcome(job, status, round(seconds, 1), message)


def _needs_spark(job: str, config: Config) -> bool:
    """Only `train` may do without: one TensorFlow worker reads the lake's files by itself."""
    if job != "train":
        return True
    fitted_by = {models.ALL[name].fitted_by for name in config.recommend.recommenders}
    is_shared = "network" in fitted_by and config.train.num_workers > 1
    return config.train.enabled and ("spark" in fitted_by or is_shared)


def _record(
    lake: Lake, config: Config, job: str, run_date: dt.date, outcome: Outcome, started: dt.datetime
) -> None:
    row = {
        "job": job,
        "run_date": run_date,
        "attempt": lake.attempt,
        "code": importlib.metadata.version("recsys-spark"),
        "settings_hash": config.fingerprint(),
        "versions_read": list(lake.versions_read.items()),
        "versions_written": list(lake.versions_written.items()),
        "started_at": started,
        "seconds": outcome.seconds,
        "exit_status": outcome.exit_status,
        "message": outcome.message,
    }
    try:
        lake.append_rows(tables.RUNS, [row])
    except RecsysError as error:  # the job's own outcome matters more than its record
        log.warning("run_not_recorded job=%s run_date=%s %s", job, run_date, error)


def as_known(error: BaseException) -> RecsysError | None:
    """The RecsysError that an exception is, or that a Spark failure carries from a worker."""
    if isinstance(error, RecsysError):
        return error
    text = str(error)
    raised = re.search(r"recsys_spark\.errors\.(\w+): ([^\n]+)", text)
    if raised:
        kind = getattr(errors, raised[1], None)
        if isinstance(kind, type) and issubclass(kind, RecsysError):
            return kind(raised[2].strip())
    told = re.search(r"\[USER_RAISED_EXCEPTION\] ([^\n]+)", text)
    if told:
        return BadDataError(told[1].strip())
    lacking = re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", text)
    if lacking and not isinstance(error, ModuleNotFoundError):
        if lacking[1].partition(".")[0] == "recsys_spark":
            return SettingsError(
                "the Python workers lack this project's code: run `make package` and name dist/recsys_spark.zip "
                "in spark.py_files, or install the wheel where they run"
            )
        return SettingsError(
            f"the Python workers lack the package {lacking[1]}: start the job with PYSPARK_PYTHON set to an "
            "environment that has this project's packages, or send them: `make workers`, and spark.archives as the "
            "README shows"
        )
    gone = re.search(
        r"(?:FileNotFoundException|PATH_NOT_FOUND)[^\n]*?((?:file|s3a?|hdfs|abfss?):[^\s\"']+)", text
    )
    if gone:
        return MissingInputError(
            f"{gone[1]}: Spark found no such file; it was removed while the job was reading"
        )
    damaged = re.search(
        r"(?:FAILED_READ_FILE|CANNOT_READ_FILE)[^\n]*?((?:file|s3a?|hdfs|abfss?):[^\s\"']+)", text
    )
    if damaged:
        return BadDataError(
            f"{damaged[1]}: Spark cannot read this file; restore it or run again what wrote it"
        )
    return None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:2000]
