"""What a scheduler does to the night: bare environments, kills, retries, two runs at once, one task a job."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nights
import pytest
from nights import FIRST, SECOND
from pyspark.sql import SparkSession

from recsys_spark import night, tables
from recsys_spark.errors import RecsysError
from recsys_spark.lake import Lake

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SCRIPT = Path(__file__).parent.parent / "scripts" / "nightly.sh"
RECSYS = [sys.executable, "-c", "from recsys_spark import entry; entry.main()"]

# In the middle of each job: the line of its log after which it is killed.
MIDDLE = {
    "ingest": "table_written table=items ",
    "build_index": "table_appended table=user_index ",
    "build_features": "table_written table=user_features ",
    "train": "epoch_done ",
    "recommend": "table_written table=segment_lists ",
    "check": "table_read table=blocked_items ",
    "evaluate": "table_read table=source_files ",
    "publish": "table_written table=default_recommendations ",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nights.write_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def first_night(spark: SparkSession, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("first") / "lake"
    assert nights.run(spark, nights.settings(root, source), FIRST).exit_status == 0
    return root


@pytest.fixture(scope="module")
def undisturbed(
    spark: SparkSession, source: Path, first_night: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Counter[str]]:
    """Every table after a second night that nobody disturbed, in the session of the tests."""
    root = Path(shutil.copytree(first_night, tmp_path_factory.mktemp("undisturbed") / "lake"))
    assert nights.run(spark, nights.settings(root, source), SECOND).exit_status == 0
    return nights.content(root)


@pytest.fixture
def root(first_night: Path, tmp_path: Path) -> Path:
    """A lake after its first night."""
    return Path(shutil.copytree(first_night, tmp_path / "lake"))


def arguments(job: str, root: Path, source: Path) -> list[str]:
    flags = [part for option in nights.options(root, source) for part in ("--set", option)]
    return [job.replace("_", "-"), "--date", str(SECOND), *flags]


def bare_environment(home: Path) -> dict[str, str]:
    """PATH and HOME, as cron gives them; Java wherever this machine has it."""
    java = shutil.which("java")
    places = ["/usr/local/bin", "/usr/bin", "/bin", *([str(Path(java).parent)] if java else [])]
    return {"PATH": ":".join(places), "HOME": str(home)}


def last_line(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def test_the_script_in_a_bare_environment_runs_the_night_and_tells_it_in_json(
    root: Path, source: Path, tmp_path: Path, undisturbed: dict[str, Counter[str]]
) -> None:
    command = [str(SCRIPT), *arguments("nightly", root, source)[1:], "--json", str(tmp_path / "night.json")]
    done = subprocess.run(
        command, env=bare_environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = last_line(done.stdout)
    assert told == json.loads((tmp_path / "night.json").read_text())
    assert (told["exit_status"], told["failed_job"], told["live_run_date"]) == (0, None, str(SECOND))
    assert [job["job"] for job in told["jobs"]] == list(night.JOBS)
    assert told["active_users"] == told["rows"]["recommendations"] == nights.USERS + 2
    assert nights.content(root) == undisturbed


def test_the_script_tells_a_failed_night_by_its_status_and_in_json(
    root: Path, source: Path, tmp_path: Path, first_night: Path
) -> None:
    moved = tmp_path / "nothing-here"
    command = [str(SCRIPT), *arguments("nightly", root, moved)[1:]]
    done = subprocess.run(
        command, env=bare_environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    told = last_line(done.stdout)
    assert (done.returncode, told["exit_status"], told["failed_job"]) == (11, 11, "ingest")
    assert str(moved) in told["message"]
    assert told["live_run_date"] == str(FIRST)
    assert [
        line for line in done.stderr.splitlines() if " ERROR " in line and "job_failed job=ingest" in line
    ]
    assert "Traceback" not in done.stderr
    assert nights.content(root) == nights.content(first_night)


def test_one_spark_submit_a_job_gives_equal_tables(
    root: Path, source: Path, undisturbed: dict[str, Counter[str]]
) -> None:
    command = [*RECSYS, *arguments("nightly", root, source), "--submit-each"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = last_line(done.stdout)
    assert (done.returncode, told["exit_status"]) == (0, 0), done.stderr[-3000:]
    assert [(job["job"], job["exit_status"]) for job in told["jobs"]] == [(job, 0) for job in night.JOBS]
    assert nights.content(root) == undisturbed


@contextmanager
def looping_reader(root: Path, expected: dict[str, Counter[str]]) -> Iterator[list[str]]:
    """Reads the first night's lists all the time; collects what was wrong with them."""
    faults: list[str] = []
    reads, stop = [0], threading.Event()

    def loop() -> None:
        while not stop.is_set():
            try:
                if nights.content(root, FIRST, [tables.RECOMMENDATIONS]) != expected:
                    faults.append("the lists of the first night changed")
            except RecsysError as error:
                faults.append(str(error))
            reads[0] += 1
            time.sleep(0.2)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield faults
    finally:
        stop.set()
        thread.join()
    if reads[0] < 5:
        faults.append(f"only {reads[0]} reads")


def kill_after(line: str, command: list[str]) -> None:
    """Start a program, wait until its log says `line`, and kill its whole process group."""
    started = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert started.stderr is not None
    seen = []
    for told in started.stderr:
        seen.append(told)
        if line in told:
            os.killpg(started.pid, signal.SIGKILL)
            break
    assert started.wait() == -signal.SIGKILL, "".join(seen[-20:])


def test_a_kill_in_the_middle_of_each_job_and_a_retry_leave_equal_tables(
    spark: SparkSession, root: Path, source: Path, first_night: Path, undisturbed: dict[str, Counter[str]]
) -> None:
    live = nights.content(first_night, FIRST, [tables.RECOMMENDATIONS])
    chosen = nights.settings(root, source)
    with looping_reader(root, live) as faults:
        for job in night.JOBS:
            kill_after(MIDDLE[job], [*RECSYS, *arguments(job, root, source)])
            assert Lake(str(root)).dates(tables.RECOMMENDATIONS) == [FIRST], job
            assert nights.run(spark, chosen, SECOND, [job]).exit_status == 0
    assert faults == []
    assert nights.content(root) == undisturbed


def test_two_runs_of_one_night_at_once_leave_equal_tables(
    root: Path, source: Path, first_night: Path, undisturbed: dict[str, Counter[str]]
) -> None:
    live = nights.content(first_night, FIRST, [tables.RECOMMENDATIONS])
    command = [*RECSYS, *arguments("nightly", root, source)]
    with looping_reader(root, live) as faults:
        both = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        ended = []
        for process in both:
            output, log = process.communicate()
            ended.append((process.returncode, last_line(output)["message"], log[-2000:]))
    assert faults == []
    assert 0 in {status for status, _, _ in ended}, ended
    assert all(status in (0, 16) for status, _, _ in ended), ended
    assert nights.content(root) == undisturbed


# Writers, a killer and a reader on one table ---------------------------------------------------------

K_VALUES = 5


def _write_for_ever(root: str, day: int) -> None:
    """Replace one date by a whole set of rows that all say the same number, again and again."""
    run_date = FIRST.replace(day=day)
    while True:
        value = random.random()
        row = {"split": "time", "recommender": "r", "metric": "m", "value": value, "run_date": run_date}
        Lake(root).write_rows(tables.METRICS, run_date, [{**row, "k": k} for k in range(K_VALUES)])


def test_killed_writers_never_show_a_reader_half_a_date(tmp_path: Path) -> None:
    root, days = str(tmp_path / "lake"), (1, 2, 3)
    fresh = multiprocessing.get_context("spawn")

    def start(day: int) -> Any:
        process = fresh.Process(target=_write_for_ever, args=(root, day))
        process.start()
        return process

    writers = {day: start(day) for day in days}
    reads = kills = 0
    by_date: dict[Any, list[dict[str, Any]]] = {}
    began = last_kill = time.monotonic()
    try:
        while reads < 100 or kills < 10 or len(by_date) < len(days):
            assert time.monotonic() - began < 300, (reads, kills, sorted(by_date))
            by_date = {}
            for row in nights.rows(root, tables.METRICS):
                by_date.setdefault(row["run_date"], []).append(row)
            for rows in by_date.values():
                assert sorted(row["k"] for row in rows) == list(range(K_VALUES))
                assert len({row["value"] for row in rows}) == 1
            reads += 1
            if time.monotonic() - last_kill > 1.5:
                day = random.choice(days)
                writers[day].kill()
                writers[day].join()
                writers[day] = start(day)
                last_kill = time.monotonic()
                kills += 1
    finally:
        for process in writers.values():
            process.kill()
            process.join()
    Lake(root).write_rows(tables.METRICS, FIRST, [])  # the table still takes commits
    assert nights.rows(root, tables.METRICS, FIRST) == []
