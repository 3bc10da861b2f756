"""The scoring job of the benchmarks: what it writes, and seconds of it and of others in turn."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from peers import looked_up, scored
from recsys_spark import cli, config, tables
from recsys_spark.lake import Lake
from recsys_spark.python_tasks import FromPython
from recsys_spark.scoring import lists
from recsys_spark.scoring.bases import Basis
from recsys_spark.scoring.rules import ListSettings

TOP, BATCH = 100, 1024
DAY = dt.date(2024, 1, 31)
SETTINGS = ListSettings(TOP, BATCH, num_threads=1)


@contextmanager
def session() -> Iterator[tuple[SparkSession, Path]]:
    """A Spark session whose workers find `peers`, which only this folder has, and a folder for files."""
    here = str(Path(__file__).parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    with TemporaryDirectory() as folder:
        settings = config.load(["local"], [f"lake.root={folder}/lake", "spark.master=local[2]"])
        spark = cli.session(settings, "bench")
        spark.sparkContext.setLogLevel("ERROR")
        yield spark, Path(folder)
        spark.stop()


def job(spark: SparkSession, folder: Path, num_users: int, num_items: int, heaviest: int = 0) -> FromPython:
    """Lists of so many users; `heaviest` as in `scored.write_users`."""
    users = scored.write_users(folder, num_users, num_items, heaviest)
    return ranked(spark.read.parquet(str(users)), folder, num_users, num_items)


def ranked(users: DataFrame, folder: Path, num_users: int, num_items: int) -> FromPython:
    return lists.lists(users, basis(folder, num_users, num_items), SETTINGS, lists.Lot("night", DAY))


@cache
def basis(folder: Path, num_users: int, num_items: int) -> Basis:
    """All items, and a model of both factors."""
    factors = map(np.load, both_factors(folder, num_users, num_items))
    model = looked_up.stored(folder / f"model-{num_users}-{num_items}", *factors)
    return Basis(scored.items(num_items), model)


def both_factors(folder: Path, num_users: int, num_items: int) -> tuple[Path, Path]:
    return scored.factors(folder, "user", num_users, 1), scored.factors(folder, "item", num_items, 2)


def write(path: Path, *made: FromPython) -> None:
    """As the job does: into a lake of its own below `path`."""
    shutil.rmtree(path, ignore_errors=True)
    Lake(str(path)).write_from_python(tables.LISTS, DAY, made)


def files_of(path: Path) -> Path:
    return path / "lists" / f"run_date={DAY}" / "cut=night"


def seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def in_rounds(rounds: int, **runs: Callable[[], Any]) -> list[dict[str, float]]:
    """Seconds of each in each round, after one that warms up, which counts only where it is the only one.

    A minute in which the machine is slow meets them all.
    """
    taken = [{name: seconds(run) for name, run in runs.items()} for _ in range(1 + rounds)]
    return taken[1:] or taken


def medians(rounds: list[dict[str, float]]) -> list[float]:
    """Seconds of each run, in the order in which `in_rounds` was given them."""
    return [statistics.median(one[name] for one in rounds) for name in rounds[0]]
