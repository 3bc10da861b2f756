"""A Spark standalone cluster of real processes on this machine, whose Python has none of this project's code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import uuid
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyspark

SPARK_HOME = Path(pyspark.__file__).parent
MARK = "RECSYS_TEST_CLUSTER"
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
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
        **{name: os.environ[name] for name in ("JAVA_HOME",) if name in os.environ},
    }
    try:
        place = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        master = _start(folder / "master", env, "master.Master", *place)
        url = "spark://" + _told(folder / "master", "Starting Spark master at spark://", master)
        for number in range(num_workers):
            own = folder / f"worker-{number}"
            size = ["--cores", "1", "--memory", "1g", "--work-dir", str(own / "work")]
            worker = _start(own, env, "worker.Worker", *place, *size, url)
            _told(own, "Successfully registered with master ", worker)
        yield Cluster(url, folder, bare_python(folder / "python"), mark)
    finally:
        wait_for(lambda: not kill_all(mark), 20)


def bare_python(folder: Path) -> Path:
    """The packages of this Python without the project: a path file does not read the path files of where it leads."""
    venv.create(folder, with_pip=False)
    own = next((folder / "lib").glob("python*/site-packages"))
    (own / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def _start(folder: Path, env: dict[str, str], name: str, *options: str) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True)
    command = [str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *options]
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


def drive(
    on: Cluster, name: str, arguments: list[str], py_files: list[str], conf: dict[str, str] | None = None
) -> Driver:
    """Start the console script as a driver on the cluster, with its UI and its event log on."""
    folder = on.folder / name
    (folder / "events").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    conf = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
        "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1",
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
    env = {**os.environ, MARK: on.mark, "PYSPARK_PYTHON": str(on.python)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*RECSYS, *arguments, *flags], env=env, stdout=log, stderr=log)
    return Driver(process, folder / "log", folder / "events", f"http://127.0.0.1:{port}/api/v1/applications")


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
    """What Spark's event log tells of one kind, such as `TaskEnd`."""
    [log] = [path for path in driver.events.iterdir() if path.is_file() and not path.name.startswith(".")]
    found = map(json.loads, log.read_text().splitlines())
    return [event for event in found if event["Event"] == f"SparkListener{kind}"]


# Processes -------------------------------------------------------------------------------------------


def processes(mark: str) -> dict[int, list[str]]:
    """The command of each process with this mark, by its id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_text().split("\0")
    return found


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1].split()[1])


def executors(mark: str) -> dict[str, int]:
    """The process of each executor, by the id that Spark gave it."""
    return {
        command[command.index("--executor-id") + 1]: process
        for process, command in processes(mark).items()
        if "--executor-id" in command
    }


def python_workers(mark: str, executor: int) -> list[int]:
    """The Python processes in which this executor runs its tasks: those that its daemon has forked."""
    found = []
    for process, command in processes(mark).items():
        with suppress(OSError):
            daemon = parent(process)
            if "pyspark.daemon" in command and daemon != executor and parent(daemon) == executor:
                found.append(process)
    return found


def send(signal_number: int, ids: list[int]) -> None:
    for process in ids:
        with suppress(ProcessLookupError):
            os.kill(process, signal_number)


def kill_all(mark: str) -> list[int]:
    """Kill every process with this mark; returns those that it found."""
    found = list(processes(mark))
    send(signal.SIGKILL, found)
    return found


def wait_for(found: Callable[[], Any], seconds: float) -> Any:
    """What `found` returns as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing after {seconds} s")
        time.sleep(0.1)
    return value
