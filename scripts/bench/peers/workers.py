"""Memory of the Python processes that Spark starts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

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
    return round(max(peaks) / 2**20, 2)
