"""What a scheduler and the person on call see of a failure."""

from __future__ import annotations

import datetime as dt
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys_spark import cli, config, errors, tables
from recsys_spark.config import Config
from recsys_spark.failures import as_known
from recsys_spark.lake import Lake

DAY = dt.date(2024, 3, 1)


def settings(tmp_path: Path) -> Config:
    return config.load([], [f"lake.root={tmp_path}/lake"])


def run_with(error: Exception, tmp_path: Path) -> cli.Outcome:
    def run(spark: Any, lake: Lake, config: Config, run_date: dt.date) -> None:
        raise error

    return cli.execute("train", run, settings(tmp_path), DAY, lambda: None)  # type: ignore[arg-type,return-value]


def test_each_error_has_an_exit_status_of_its_own() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    statuses = [kind.exit_status for kind in kinds]
    assert len(set(statuses)) == len(kinds) == 9
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    assert all(f"| {status} |" in readme for status in statuses)


def test_a_known_error_is_one_line_its_status_and_a_row_in_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outcome = run_with(errors.BadDataError("events.csv: two\nlines"), tmp_path)
    assert (outcome.exit_status, outcome.message) == (12, "events.csv: two lines")
    failed = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in failed] == [
        "job_failed job=train run_date=2024-03-01 error=BadDataError events.csv: two lines"
    ]
    assert failed[0].exc_info is None
    (row,) = Lake(f"{tmp_path}/lake").read_rows(tables.RUNS).to_pylist()
    assert (row["job"], row["run_date"], row["exit_status"]) == ("train", DAY, 12)


def test_a_bug_keeps_its_traceback(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run_with(KeyError("x"), tmp_path).exit_status == 1
    assert caplog.records[-1].exc_info is not None


def test_what_was_read_and_written_is_recorded(tmp_path: Path) -> None:
    row = {"split": "time", "metric": "ndcg", "k": 10, "recommender": "popularity", "run_date": DAY}

    def run(spark: Any, lake: Lake, config: Config, run_date: dt.date) -> None:
        lake.write_rows(tables.METRICS, run_date, [row])
        lake.read_rows(tables.METRICS, run_date)

    assert cli.execute("train", run, settings(tmp_path), DAY, lambda: None).exit_status == 0  # type: ignore[arg-type,return-value]
    (recorded,) = Lake(f"{tmp_path}/lake").read_rows(tables.RUNS).to_pylist()
    assert recorded["versions_written"] == [("metrics", 1)] == recorded["versions_read"]
    assert recorded["settings_hash"] == settings(tmp_path).fingerprint()


def failure(frame: DataFrame, function: Any) -> Exception:
    with pytest.raises(Exception) as raised:
        frame.mapInPandas(function, frame.schema).collect()
    return raised.value


def test_bad_data_met_by_a_worker_is_its_own_line(spark: SparkSession) -> None:
    def fails(frames: Iterator[Any]) -> Iterator[Any]:
        raise errors.BadDataError("events.csv: record 7: expected a number, got 'x'")

    known = as_known(failure(spark.range(1), fails))
    assert isinstance(known, errors.BadDataError)
    assert str(known) == "events.csv: record 7: expected a number, got 'x'"


def test_what_an_expression_raised_is_its_own_line(spark: SparkSession) -> None:
    with pytest.raises(Exception) as raised:
        spark.range(1).select(F.raise_error(F.lit("event type 'x': unknown"))).collect()
    known = as_known(raised.value)
    assert isinstance(known, errors.BadDataError)
    assert str(known).startswith("event type 'x': unknown")


def test_a_package_that_workers_lack_is_named(spark: SparkSession) -> None:
    def lacks(frames: Iterator[Any]) -> Iterator[Any]:
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401

        yield from frames

    known = as_known(failure(spark.range(1), lacks))
    assert isinstance(known, errors.SettingsError)
    assert "lack the package no_such_package" in str(known)


def test_a_file_that_vanished_under_spark_is_named(spark: SparkSession, tmp_path: Path) -> None:
    spark.range(1).write.parquet(f"{tmp_path}/t")
    frame = spark.read.parquet(f"{tmp_path}/t")
    for part in Path(f"{tmp_path}/t").glob("part-*"):
        part.write_bytes(b"not parquet")
    with pytest.raises(Exception) as raised:
        frame.collect()
    known = as_known(raised.value)
    assert isinstance(known, errors.BadDataError)
    assert "part-" in str(known)


def test_code_to_send_that_is_not_there_is_told_before_spark_starts(tmp_path: Path) -> None:
    chosen = config.load([], [f"spark.py_files=[{tmp_path}/no.zip]"])
    with pytest.raises(
        errors.SettingsError, match=f"spark.py_files {tmp_path}/no.zip: no such file; `make package`"
    ):
        cli.session(chosen, "ingest")


@pytest.mark.slow
def test_what_the_jvm_warns_of_leaves_standard_output_to_the_program(tmp_path: Path) -> None:
    chosen = "{spark.driver.extraJavaOptions: -XX:+PrintCommandLineFlags}"
    code = f"""
from recsys_spark import cli, config
spark = cli.session(config.load(options=["lake.root={tmp_path}", "spark.conf={chosen}"]), "warned")
spark.range(9).groupBy("id").count().collect()
spark.stop()
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "-XX:+PrintCommandLineFlags" in done.stderr
    assert done.stdout == "done\n"
