"""The features job by whichever checkout is on the path, built and timed night by night.

As a program, `built.py NIGHTS.json`, it builds the next of the nights for each line it is sent, and answers with JSON.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from pyspark.sql import SparkSession

from recsys_spark import cli, config, night
from recsys_spark.jobs import build_features
from recsys_spark.lake import Lake


class Nights(NamedTuple):
    """What is built: settings as `config.load` takes them, and the run dates in turn; one may come again."""

    overlays: list[str]
    options: dict[str, str]
    run_dates: list[str]

    def of_lake(self, root: Path) -> Nights:
        """The same into another lake."""
        return self._replace(options={**self.options, "lake.root": str(root)})


class Builder:
    """A Spark session and a lake in which the nights are built one after the other."""

    spark: SparkSession
    lake: Lake

    def __init__(self, nights: Nights) -> None:
        options = [f"{key}={value}" for key, value in nights.options.items()]
        self._settings = config.load(nights.overlays, options)
        self.spark, self.lake = cli.session(self._settings, "bench"), Lake(self._settings.lake.root)
        self.spark.sparkContext.setLogLevel("ERROR")
        self._run_dates = [dt.date.fromisoformat(day) for day in nights.run_dates]
        self._prepared: set[dt.date] = set()
        self._stages = Stages()
        written = logging.getLogger("recsys_spark.lake.lake")
        written.setLevel(logging.INFO)
        written.addHandler(self._stages)

    def build(self) -> dict[str, Any]:
        """Build the next night; the seconds of the job, of each table, and how many Spark jobs it took.

        Its events are taken in and numbered before, the first time.
        """
        run_date = self._run_dates.pop(0)
        for job in () if run_date in self._prepared else ("ingest", "build_index"):
            outcome = night.in_one_session(self._settings, run_date)(job)
            if outcome.exit_status:
                sys.exit(f"features: {job} ended with {outcome.exit_status}: {outcome.message}")
        self._prepared.add(run_date)
        jobs = self._num_jobs()
        self._stages.start()
        began = time.perf_counter()
        build_features.run(self.spark, self.lake, self._settings, run_date)
        seconds = time.perf_counter() - began
        return {
            "seconds": round(seconds, 2),
            "spark_jobs": self._num_jobs() - jobs,
            "seconds_by_table": self._stages.seconds(),
        }

    def _num_jobs(self) -> int:
        return int(self.spark._jsc.sc().dagScheduler().nextJobId())


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
        taken: Counter[str] = Counter()
        began = self._began
        for name, at in self._written:
            taken[name] += round(at - began, 1)
            began = at
        return dict(taken)


if __name__ == "__main__":
    builder = Builder(Nights(*json.loads(Path(sys.argv[1]).read_text())))
    for _ in sys.stdin:
        print(json.dumps(builder.build()), flush=True)
