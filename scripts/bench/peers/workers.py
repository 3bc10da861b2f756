"""Memory of the Python processes that Spark starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import psutil


def worker_gib() -> float:
    """Memory of its own that the greatest Python process below this one had at its peak, in GiB."""
    peaks = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess, FileNotFoundError):  # a worker without work for a while ends
            if "pyspark.daemon" not in process.cmdline():
                continue
            told = dict(
                line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            )
            peaks.append(int(told["VmHWM"].split()[0]) - int(told["RssFile"].split()[0]))
    return round(max(peaks, default=0) / 2**20, 2)


@contextmanager
def watched(peaks: list[float], every: float = 2.0) -> Iterator[None]:
    """Add `worker_gib` to `peaks` every so many seconds: a worker that has ended tells no more."""
    ended = Event()

    def watch() -> None:
        while not ended.wait(every):
            peaks.append(worker_gib())

    thread = Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
