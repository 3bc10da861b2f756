"""What goes wrong outside is one line and an exit status, and nothing in the lake changes.

Bad files and records have their tests beside the reader (tests/sources), damaged models in test_nightly.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nights
import pytest
from nights import FIRST, SECOND, THIRD
from pyspark.sql import SparkSession

from recsys_spark import tables
from recsys_spark.cli import Outcome
from recsys_spark.lake import Lake


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nights.write_source(tmp_path_factory.mktemp("source"), nights=2)


@pytest.fixture(scope="module")
def ingested(spark: SparkSession, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ingested") / "lake"
    chosen = nights.settings(root, source)
    assert nights.run(spark, chosen, FIRST, ["ingest", "build_index"]).exit_status == 0
    return root


@pytest.fixture
def root(ingested: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ingested, tmp_path / "lake"))


def one_line(outcome: Outcome, caplog: pytest.LogCaptureFixture) -> str:
    """The line that the failure is; no more than one, and no traceback."""
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert errors[0].exc_info is None
    line = errors[0].getMessage()
    assert "\n" not in line
    assert str(outcome.message) in line
    return line


def test_a_missing_source_folder(
    spark: SparkSession, ingested: Path, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = nights.run(spark, nights.settings(root, tmp_path / "gone"), FIRST, ["ingest"])
    assert outcome.exit_status == 11
    assert str(tmp_path / "gone") in one_line(outcome, caplog)
    assert nights.content(root) == nights.content(ingested)


def test_a_date_without_data(
    spark: SparkSession, source: Path, ingested: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = nights.run(spark, nights.settings(root, source), THIRD, ["ingest"])
    assert outcome.exit_status == 11
    assert f"events/{THIRD}.csv" in one_line(outcome, caplog)
    assert nights.content(root) == nights.content(ingested)


def test_a_night_whose_jobs_before_did_not_run(
    spark: SparkSession, source: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = nights.run(spark, nights.settings(root, source), SECOND, ["build_index"])
    assert outcome.exit_status == 11
    line = one_line(outcome, caplog)
    assert f"nothing for run date {SECOND}" in line
    assert f"the lake has {FIRST}" in line


def test_a_file_damaged_in_the_middle_of_a_delivery_keeps_the_night_before(
    spark: SparkSession, source: Path, ingested: Path, root: Path, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    damaged = Path(shutil.copytree(source, tmp_path / "source"))
    users = damaged / "users.csv"
    users.write_text(users.read_text().replace("user,country", "country,user"))
    outcome = nights.run(spark, nights.settings(root, damaged), SECOND, ["ingest"])
    assert outcome.exit_status == 12
    assert "users.csv" in one_line(outcome, caplog)
    assert nights.content(root) == nights.content(ingested)


def emptied_log_entry(root: Path) -> str:
    entry = max((root / "interactions" / "_delta_log").glob("*.json"))
    entry.write_bytes(b"")
    return entry.name


def garbled_log_entry(root: Path) -> str:
    entry = max((root / "interactions" / "_delta_log").glob("*.json"))
    entry.write_text('{"add": {"path"')
    return "table interactions"


def file_gone(root: Path) -> str:
    file = Path(Lake(str(root)).files(tables.INTERACTIONS, FIRST)[0].uri.removeprefix("file://"))
    file.unlink()
    return file.name


def file_cut_short(root: Path) -> str:
    file = Path(Lake(str(root)).files(tables.INTERACTIONS, FIRST)[0].uri.removeprefix("file://"))
    file.write_bytes(file.read_bytes()[:-200])
    return file.name


@pytest.mark.parametrize("damage", [emptied_log_entry, garbled_log_entry, file_gone, file_cut_short])
def test_a_damaged_table_is_named(
    spark: SparkSession, source: Path, ingested: Path, root: Path, caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], str],
) -> None:  # fmt: skip
    words = damage(root)
    outcome = nights.run(spark, nights.settings(root, source), FIRST, ["build_index"])
    assert outcome.exit_status == 12
    assert words in one_line(outcome, caplog)
    others = [table for table in tables.ALL if table is not tables.INTERACTIONS]
    assert nights.content(root, only=others) == nights.content(ingested, only=others)


def test_a_lake_folder_that_cannot_be_written(
    spark: SparkSession, source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    root = tmp_path / "file" / "lake"
    outcome = nights.run(spark, nights.settings(root, source), FIRST, ["ingest"])
    assert outcome.exit_status == 16
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage().split()[0] for record in errors] == ["job_failed"]
    assert str(tmp_path / "file") in str(outcome.message)
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--set", "self_attention.epoch=3"], 10, "self_attention.epochs"),
        (["--set", "self_attention.epochs=many"], 10, "self_attention.epochs"),
        (["--set", "recommend.num_items=0"], 10, "recommend.num_items"),
        (["--config", "no_such_file.yaml"], 10, "no_such_file.yaml"),
        (["--set", "lake.root=a lake/here"], 10, "a lake/here"),
        (["--set", "sources.shop.mapping=movielens_csw", "--set", "sources.shop.folder=x"], 10, "movielens_csv"),
        (["--set", "train.min_train_users=2"], 11, "sequence_examples"),
    ],
)  # fmt: skip
def test_the_command_line_leaves_with_one_line_and_its_status(
    tmp_path: Path, arguments: list[str], status: int, words: str
) -> None:
    job = "ingest" if "sources.shop.mapping=movielens_csw" in arguments else "train"  # train needs no Java
    assert words in error_of(tmp_path, [job, *arguments], status)


def test_sources_set_on_the_command_line_are_the_only_ones(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("sources: {books: {mapping: no_such_mapping, folder: x}}\n")
    sources = "sources={shop: {mapping: movielens_csw, folder: x}}"  # after books by name
    line = error_of(tmp_path, ["ingest", "--config", "mine.yaml", "--set", sources], status=10)
    assert "movielens_csv" in line


def error_of(folder: Path, arguments: list[str], status: int) -> str:
    """The line of the log that says why the command failed."""
    command = [sys.executable, "-c", "from recsys_spark import entry; entry.main()", *arguments]
    command += ["--date", str(FIRST)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if " ERROR " in line]
    return line
