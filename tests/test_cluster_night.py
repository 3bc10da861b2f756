"""Nights on a real Spark cluster: the lists of local mode, whatever happens to an executor."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import marked
import nights
import pytest
import standalone
from nights import FIRST
from pyspark.sql import SparkSession
from standalone import Cluster, Driver

from recsys_spark import night, tables

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

SCRIPTS = Path(__file__).parent.parent / "scripts"
PACKAGE, WORKERS = SCRIPTS / "package.sh", SCRIPTS / "workers.py"
LISTS = (tables.SEGMENT_LISTS, tables.ITEM_LISTS, tables.LISTS, tables.RECOMMENDATIONS)
CHANGES = {"self_attention__epochs": "2"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nights.write_source(tmp_path_factory.mktemp("source"), nights=1)


@pytest.fixture(scope="module")
def local(spark: SparkSession, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake after a night in local mode."""
    root = tmp_path_factory.mktemp("local") / "lake"
    assert nights.run(spark, nights.settings(root, source, **CHANGES), FIRST).exit_status == 0
    return root


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("package")
    subprocess.run([str(PACKAGE), str(folder)], check=True, capture_output=True)
    return str(folder / "recsys_spark.zip")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with standalone.cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running
    assert marked.processes(running.mark) == {}


@pytest.fixture
def copy(local: Path, tmp_path: Path) -> Path:
    """The lake of local mode without its lists."""
    root = Path(shutil.copytree(local, tmp_path / "lake"))
    for table in LISTS:
        shutil.rmtree(root / table.name)
    return root


def arguments(command: str, root: Path, source: Path, **changes: str) -> list[str]:
    flags = [
        part for option in nights.options(root, source, **CHANGES, **changes) for part in ("--set", option)
    ]
    return [command, "--date", str(FIRST), *flags]


def hashes(root: Path) -> dict[str, str]:
    """A sha256 of the rows of each table of lists."""
    return {
        name: hashlib.sha256("\n".join(sorted(rows.elements())).encode()).hexdigest()
        for name, rows in nights.content(root, FIRST, LISTS).items()
    }


def publish(spark: SparkSession, root: Path, source: Path) -> None:
    jobs = ("check", "publish")
    assert nights.run(spark, nights.settings(root, source, **CHANGES), FIRST, jobs).exit_status == 0


def scoring_stages(driver: Driver) -> set[int]:
    """The stages of jobs begun so far in which a Python function ranks; known while the driver runs."""
    infos = [info for event in standalone.events(driver, "JobStart") for info in event["Stage Infos"]]
    return {info["Stage ID"] for info in infos if "MapInArrow" in json.dumps(info["RDD Info"])}


def running_task(driver: Driver, executor: str) -> tuple[int, int] | None:
    """The stage and the task that an executor is at, if another task of that stage has come to its end."""
    for stage in standalone.running_stages(driver):
        tasks = stage["tasks"].values()
        running = [t["taskId"] for t in tasks if t["status"] == "RUNNING" and t["executorId"] == executor]
        if running and any(task["status"] == "SUCCESS" for task in tasks):
            return stage["stageId"], running[0]
    return None


def stop_in_the_middle(cluster: Cluster, driver: Driver) -> tuple[str, int, int, list[int]]:
    """Stop the Python of an executor that is ranking, after another task of that stage has come to its end.

    Returns:
        The executor's id, the stage, the running task's id, and the stopped processes.
    """

    def found() -> tuple[str, int, int, list[int]] | None:
        assert driver.process.poll() is None, driver.told()[-3000:]
        if "table_written table=item_lists" not in driver.told():  # what is ranked from here on are LISTS
            return None
        for name, process in marked.executors(cluster.mark).items():
            stopped = marked.python_workers(cluster.mark, process)
            marked.send(signal.SIGSTOP, stopped)
            task = running_task(driver, name) if stopped else None
            time.sleep(0.5)  # a task without Python has ended by then
            # Other stages have long tasks too, and Python idles beside them.
            if task and task == running_task(driver, name) and task[0] in scoring_stages(driver):
                return name, *task, stopped
            marked.send(signal.SIGCONT, stopped)
        return None

    where: tuple[str, int, int, list[int]] = marked.wait_for(found, 120)
    return where


def test_workers_that_were_sent_no_code_are_told_in_one_line(
    cluster: Cluster, source: Path, tmp_path: Path
) -> None:
    with standalone.drive(
        cluster, "nothing-sent", arguments("ingest", tmp_path / "lake", source), []
    ) as driver:
        assert driver.wait() == 10, driver.told()[-3000:]
    [line] = [line for line in driver.told().splitlines() if "job_failed" in line]
    assert "the Python workers lack this project's code: run `make package`" in line


def test_a_night_on_a_cluster_makes_the_tables_of_local_mode(
    cluster: Cluster, local: Path, source: Path, package: str, tmp_path: Path
) -> None:
    root = tmp_path / "lake"
    with standalone.drive(cluster, "night", arguments("nightly", root, source), [package]) as driver:
        assert driver.wait() == 0, driver.told()[-3000:]
    assert [job["job"] for job in json.loads(driver.told().splitlines()[-1])["jobs"]] == list(night.JOBS)
    ended = [e for e in standalone.events(driver, "TaskEnd") if e["Stage ID"] in scoring_stages(driver)]
    assert {event["Task Info"]["Executor ID"] for event in ended} == {"0", "1"}
    assert hashes(root) == hashes(local)
    assert nights.content(root) == nights.content(local)


def test_workers_that_have_python_alone_are_sent_all_they_need(
    spark: SparkSession, cluster: Cluster, source: Path, tmp_path: Path
) -> None:
    counted = {"recommend__recommenders": "transitions"}
    chosen = nights.settings(tmp_path / "local", source, **CHANGES, **counted)
    assert nights.run(spark, chosen, FIRST).exit_status == 0
    archive = tmp_path / "workers.tar.gz"
    subprocess.run([sys.executable, str(WORKERS), "--out", str(archive), "--without-tensorflow"], check=True)
    sent = {"spark.archives": f"{archive}#packages", "spark.executorEnv.PYTHONPATH": "packages"}
    job = arguments("nightly", tmp_path / "lake", source, **counted)
    python = standalone.python_alone(tmp_path / "python")
    with standalone.drive(cluster, "archive", job, [], sent, python) as driver:
        assert driver.wait() == 0, driver.told()[-3000:]
    assert nights.content(tmp_path / "lake") == nights.content(tmp_path / "local")


def test_an_executor_killed_in_the_middle_of_scoring_changes_no_list(
    spark: SparkSession, cluster: Cluster, local: Path, copy: Path, source: Path, package: str
) -> None:
    with standalone.drive(cluster, "killed", arguments("recommend", copy, source), [package]) as driver:
        executor, stage, task, stopped = stop_in_the_middle(cluster, driver)
        marked.send(signal.SIGKILL, [marked.executors(cluster.mark)[executor]])
        marked.send(signal.SIGCONT, stopped)
        assert driver.wait() == 0, driver.told()[-3000:]
    assert stage in scoring_stages(driver)
    [lost] = [e for e in standalone.events(driver, "TaskEnd") if e["Task Info"]["Task ID"] == task]
    assert lost["Task End Reason"]["Reason"] == "ExecutorLostFailure"
    publish(spark, copy, source)
    assert hashes(copy) == hashes(local)


def test_a_speculative_task_that_overtakes_a_stuck_one_changes_no_list(
    spark: SparkSession, cluster: Cluster, local: Path, copy: Path, source: Path, package: str
) -> None:
    eager = {
        "spark.speculation": "true",
        "spark.speculation.interval": "20ms",
        "spark.speculation.minTaskRuntime": "1ms",
        "spark.speculation.multiplier": "1.01",
        "spark.speculation.quantile": "0.01",
    }
    job = arguments("recommend", copy, source)
    with standalone.drive(cluster, "speculative", job, [package], eager) as driver:
        _, stage, task, stopped = stop_in_the_middle(cluster, driver)
        assert driver.wait() == 0, driver.told()[-3000:]  # the stopped one still is
        marked.send(signal.SIGCONT, stopped)
    assert stage in scoring_stages(driver)
    started, ended = (
        [e["Task Info"] for e in standalone.events(driver, kind) if e["Stage ID"] == stage]
        for kind in ("TaskStart", "TaskEnd")
    )
    [stuck] = [info for info in started if info["Task ID"] == task]
    tries = {info["Task ID"]: info["Speculative"] for info in started if info["Index"] == stuck["Index"]}
    won = [
        info["Task ID"] for info in ended if info["Task ID"] in tries and not info["Failed"] | info["Killed"]
    ]
    assert len(won) == 1 and won != [task]
    assert any(tries.values())
    publish(spark, copy, source)
    assert hashes(copy) == hashes(local)
