"""How much memory the Python workers of an executor may take: from Spark's settings, or from the machine's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pyspark.sql import SparkSession

from recsys_spark.errors import SettingsError

MIB = 1 << 20
_UNITS = {"": MIB, "b": 1, "k": 1 << 10, "m": MIB, "g": 1 << 30, "t": 1 << 40}
_BESIDE_HEAP = 768 * MIB  # a JVM beside its heap, and the driver's own Python


class Room(NamedTuple):
    """What the Python workers of one executor (in local mode: of the machine) have.

    Attributes:
        num_workers: Python processes at a time, one a running task.
        num_cores: of all executors together.
        num_bytes: for all workers of the executor.
        each: bytes of address space that Spark allows each worker; None: it sets no limit.
        is_shared_once: whether files that several workers have mapped count once. YARN adds up the processes.
        source: the setting or place the bytes come from.
    """

    num_workers: int
    num_cores: int
    num_bytes: int
    each: int | None
    is_shared_once: bool
    source: str


def of_session(spark: SparkSession, given: str | None) -> Room:
    """The room of the running session. On a cluster one task looks at the executor's machine.

    Args:
        given: recommend.python_memory.
    """
    context = spark.sparkContext
    conf = dict(context.getConf().getAll())
    is_local = conf["spark.master"].startswith("local[") or conf["spark.master"] == "local"
    host = machine() if is_local else context.parallelize([0], 1).map(lambda _: machine()).first()
    return room(conf, *host, context.defaultParallelism, given)


def machine(root: Path = Path("/")) -> tuple[int, int]:
    """Memory in bytes, the limits of the container included, and cores of this machine."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    groups = root / "sys/fs/cgroup"
    group = root / "proc/self/cgroup"
    inside = re.findall(r"^0::/(.*)$", group.read_text(), re.MULTILINE) if group.is_file() else []
    folder = groups / (inside[0] if inside else "")
    files = [groups / "memory/memory.limit_in_bytes"]  # version 1
    files += [place / "memory.max" for place in (folder, *folder.parents) if place.is_relative_to(groups)]
    texts = [path.read_text().strip() for path in files if path.is_file()]
    return min(limits + [int(text) for text in texts if text.isdigit()]), os.cpu_count() or 1


def room(
    conf: Mapping[str, str], host_bytes: int, host_cores: int, num_cores: int, given: str | None = None
) -> Room:
    """The room by a session's settings.

    Where a container is asked for (YARN, Kubernetes) it is spark.executor.pyspark.memory or else the overhead,
    of which the JVM takes some too. A standalone executor and local mode have what the heap leaves of the machine.

    Args:
        conf: Spark's settings by name.
        host_bytes, host_cores: of the machine or container that the workers run in.
        num_cores: of all executors together.
        given: memory for all Python workers of an executor, such as 8g; wins.

    Raises:
        SettingsError: a memory setting is no number of bytes.
    """
    master = conf.get("spark.master", "local")
    is_local = re.fullmatch(r"local(\[.*\])?", master) is not None
    has_container = master == "yarn" or master.startswith("k8s://")
    cores = int(conf.get("spark.executor.cores", 1 if has_container else min(host_cores, num_cores)))
    if is_local:
        cores = num_cores
    num_workers = max(1, cores // int(conf.get("spark.task.cpus", 1)))
    pyspark = _size("spark.executor.pyspark.memory", conf.get("spark.executor.pyspark.memory"))
    # Spark divides by this setting alone, which local mode does not have.
    each = pyspark // int(conf.get("spark.executor.cores", 1)) if pyspark else None
    heap_key = "spark.driver.memory" if is_local else "spark.executor.memory"
    heap = _size(heap_key, conf.get(heap_key, "1g")) or 0
    if given is not None:
        num_bytes, source = _size("recommend.python_memory", given) or 0, "recommend.python_memory"
    elif has_container and pyspark:
        num_bytes, source = pyspark, "spark.executor.pyspark.memory"
    elif has_container:
        num_bytes, source = _overhead(conf, heap, master), "spark.executor.memoryOverhead"
    else:
        num_bytes, source = max(0, host_bytes - heap - _BESIDE_HEAP), f"the machine's less {heap_key}"
    return Room(num_workers, num_cores, num_bytes, each, master != "yarn", source)


def _overhead(conf: Mapping[str, str], heap: int, master: str) -> int:
    key = "spark.executor.memoryOverhead"
    if key in conf:
        return _size(key, conf[key]) or 0
    factor = conf.get("spark.executor.memoryOverheadFactor")
    if factor is None and master.startswith("k8s://"):
        factor = conf.get("spark.kubernetes.memoryOverheadFactor")
    least = (
        _size("spark.executor.minMemoryOverhead", conf.get("spark.executor.minMemoryOverhead", "384m")) or 0
    )
    return max(least, int(float(factor or 0.1) * heap))


def _size(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    size = re.fullmatch(r"(\d+)(b|[kmgt]b?|)", text.strip().lower())
    if size is None:
        raise SettingsError(f"setting {name}: expected a size such as 512m or 8g, got {text}")
    return int(size[1]) * _UNITS[size[2][:1]]
