"""How a job's run ended, and its row in the table `runs`."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_spark import tables
from recsys_spark.errors import RecsysError

if TYPE_CHECKING:
    from recsys_spark.config import Config
    from recsys_spark.lake import Lake

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How one job's run ended: what the `runs` table and the night's JSON say of it."""

    job: str
    exit_status: int
    seconds: float
    message: str | None = None


def record(lake: Lake, config: Config, run_date: dt.date, outcome: Outcome, started: dt.datetime) -> None:
    """Add the row; where that fails, a warning: the job's own outcome matters more."""
    row = {
        "job": outcome.job,
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
    except RecsysError as error:
        log.warning("run_not_recorded job=%s run_date=%s %s", outcome.job, run_date, error)
