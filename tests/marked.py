"""Processes by a mark in their environment, which whatever they start inherits."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

MARK = "RECSYS_TEST_CLUSTER"


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
