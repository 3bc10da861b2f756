"""A Spark standalone cluster of real processes on this machine, whose Python has none of this project's code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import urllib.request
import uuid
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nights
import ports
import pyspark
from marked import MARK, kill_all, wait_for

SPARK_HOME = Path(pyspark.__file__).parent
RECSYS = [sys.executable, "-c", "from recsys_spark import entry; entry.main()"]


@dataclass(frozen=True)
class Cluster:
    """A running master with its workers; every process of it has `mark` in its environment."""

    master: str
    folder: Path
    python: Path
    mark: str


@contextmanager
def cluster(folder: Path, num_workers: int = 2) -> Iterator[Cluster]:
    """Start a master and workers of one core each; at the end kill whatever is left of them and of their drivers."""
    mark = uuid.uuid4().hex
    env = {
        MARK: mark,
        "PATH": os.environ["PATH"],
        "HOME": "/dev/null",  # workers often run as somebody without a home that can be written
        "SPARK_DAEMON_MEMORY": "256m",
        **{name: os.environ[name] for name in ("JAVA_HOME",) if name in os.environ},
    }
    try:
        master = _start(folder / "master", env, "127.0.0.1", "master.Master")
        url = "spark://" + _told(folder / "master", "Starting Spark master at spark://", master)
        for number in range(num_workers):
            own = folder / f"worker-{number}"
            size = ["--cores", "1", "--memory", "1g", "--work-dir", str(own / "work")]
            # An address each: Spark makes no second try of a running task on the same host.
            worker = _start(own, env, f"127.0.0.{2 + number}", "worker.Worker", *size, url)
            _told(own, "Successfully registered with master ", worker)
        yield Cluster(url, folder, bare_python(folder / "python"), mark)
    finally:
        wait_for(lambda: not kill_all(mark), 20)


def python_alone(folder: Path) -> Path:
    """Python without any package."""
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python"


def bare_python(folder: Path) -> Path:
    """The packages of this Python without the project: a path file does not read the path files of where it leads."""
    python = python_alone(folder)
    own = next((folder / "lib").glob("python*/site-packages"))
    (own / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def _start(folder: Path, env: dict[str, str], host: str, name: str, *options: str) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True)
    command = [str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}"]
    command += ["--host", host, "--port", "0", "--webui-port", "0", *options]
    env = {**env, "SPARK_LOCAL_IP": host}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def _told(folder: Path, line: str, process: subprocess.Popen[bytes]) -> str:
    """What stands behind `line` in the log, as soon as it stands there."""

    def behind() -> str | None:
        log = (folder / "log").read_text()
        if process.poll() is not None:
            raise RuntimeError(log)
        return log.partition(line)[2].split()[0] if line in log else None

    return str(wait_for(behind, 60))


@dataclass
class Driver:
    """A program that runs its jobs on the cluster."""

    process: subprocess.Popen[bytes]
    log: Path
    events: Path
    ui: str

    def wait(self) -> int:
        """Its exit status."""
        return self.process.wait(400)

    def told(self) -> str:
        return self.log.read_text()


@contextmanager
def drive(
    on: Cluster,
    name: str,
    arguments: list[str],
    py_files: list[str],
    conf: dict[str, str] | None = None,
    python: Path | None = None,
) -> Iterator[Driver]:
    """The console script as a driver on the cluster, with its UI and its event log on; killed if it still runs.

    Args:
        python: of the workers; None: one that has this project's packages, but not its code.
    """
    folder = on.folder / name
    (folder / "events").mkdir(parents=True)
    [port] = ports.free(1)
    conf = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": nights.SHORT_JOBS,
        "spark.executor.extraJavaOptions": nights.SHORT_JOBS,
        "spark.executor.memory": "640m",
        "spark.ui.enabled": "true",
        "spark.ui.port": str(port),
        "spark.ui.liveUpdate.period": "0",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file://{folder / 'events'}",
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
        **(conf or {}),
    }
    options = {
        "spark.master": on.master,
        "spark.conf": json.dumps(conf),
        "spark.py_files": json.dumps(py_files),
    }
    flags = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
    env = {**os.environ, MARK: on.mark, "PYSPARK_PYTHON": str(python or on.python)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*RECSYS, *arguments, *flags], env=env, stdout=log, stderr=log)
    try:
        yield Driver(
            process, folder / "log", folder / "events", f"http://127.0.0.1:{port}/api/v1/applications"
        )
    finally:
        process.kill()
        process.wait()


def running_stages(driver: Driver) -> list[dict[str, Any]]:
    """Active stages with their tasks, as Spark's UI tells them; none when it is not there."""
    try:
        [application] = _get(driver.ui)
        stages: list[dict[str, Any]] = _get(
            f"{driver.ui}/{application['id']}/stages?status=active&details=true"
        )
        return stages
    except (OSError, ValueError):
        return []


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def events(driver: Driver, kind: str) -> list[dict[str, Any]]:
    """What Spark's event log tells so far of one kind, such as `TaskEnd`."""
    [log] = [path for path in driver.events.iterdir() if path.is_file() and not path.name.startswith(".")]
    whole = log.read_text().rpartition("\n")[0]  # the last line may still be written
    found = map(json.loads, whole.splitlines())
    return [event for event in found if event["Event"] == f"SparkListener{kind}"]
