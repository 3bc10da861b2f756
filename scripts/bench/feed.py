"""Two million examples with a history of 50 as mixed batches, beside a bare read and petastorm's own way.

Also: what the mixing is worth, whether memory grows over twenty epochs, and what a training waits for its feed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

import numpy as np
import psutil
import pyarrow.dataset as ds
import tensorflow as tf
from peers import examples
from train_step import ours as step_with

from recsys_spark.tables import DataFile
from recsys_spark.training.feed import Feed

THREADS = 2


class Size(NamedTuple):
    """How much is read, and how often.

    Attributes:
        epochs: after which memory is looked at the second time; the first is after the third.
    """

    rows: int = 2_000_000
    batch: int = 4096
    repeats: int = 7
    epochs: int = 20


TINY = Size(rows=20_000, batch=512, repeats=0, epochs=4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="so small that it shows only that it runs")
    size = TINY if parser.parse_args().tiny else Size()
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        files = examples.write(Path(folder), size.rows)
        feed = Feed(files, examples.COLUMNS, size.batch, seed=1, num_threads=THREADS)
        memory = resident_after_epochs(feed, size.epochs)
        paths = [urlparse(file.uri).path for file in files]
        taken = medians(
            {"ours": lambda: epoch(feed), "raw_pyarrow": lambda: raw(paths, size.rows)}, size.repeats
        )
        taken["stock_petastorm"], lost = stock(files, size)
        waiting = fed_and_cached(feed, size.repeats)
        mixing = label_variance(feed)
    line = {
        "name": "feed",
        "settings": {
            "rows": size.rows,
            "history": examples.LENGTH,
            "batch": size.batch,
            "threads": THREADS,
            "window_row_groups": feed.window_row_groups,
            "files": len(files),
        },
        "figures": {
            **{f"{name}_rows_per_second": round(size.rows / seconds) for name, seconds in taken.items()},
            **{f"resident_mib_epoch_{epoch}": mib for epoch, mib in memory.items()},
            **{f"{name}_seconds": round(seconds, 3) for name, seconds in waiting.items()},
            "label_variance_to_full_shuffle": mixing,
            "stock_petastorm_rows_lost": lost,
        },
        "ratios": {
            "raw_pyarrow": round(taken["raw_pyarrow"] / taken["ours"], 3),
            "stock_petastorm": round(taken["stock_petastorm"] / taken["ours"], 3),
            "fed_vs_cached": round((waiting["feed"] + waiting["cached"]) / waiting["fed"], 3),
        },
    }
    print(json.dumps(line))


def medians(cases: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Seconds of each case; they take turns, after a turn that warms up and counts only where it is the only one."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(1 + repeats):
        for name, case in cases.items():
            began = time.perf_counter()
            case()
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds[1:] or seconds) for name, seconds in taken.items()}


def epoch(feed: Feed) -> None:
    check(sum(int(batch["label"].shape[0]) for batch in feed.batches(0)), feed.num_rows)


def raw(paths: list[str], num_rows: int) -> None:
    parts = ds.dataset(paths).to_batches(columns=list(examples.COLUMNS))
    check(sum(part.num_rows for part in parts), num_rows)


def check(num_rows: int, expected: int) -> None:
    if num_rows != expected:
        sys.exit(f"feed: {num_rows} rows came, expected {expected}")


def stock(files: list[DataFile], size: Size) -> tuple[float, int]:
    """Median seconds of petastorm's own readings after the first, and the rows that all of them lost."""
    repeats = 1 + (size.repeats + 1) // 2
    command = [sys.executable, "-m", "peers.stock_petastorm", str(repeats), *(file.uri for file in files)]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    seconds = statistics.median(reading["seconds"] for reading in found[1:] or found)
    return seconds, sum(size.rows - reading["rows"] for reading in found)


def resident_after_epochs(feed: Feed, epochs: int) -> dict[int, float]:
    """MiB of this process after the third epoch and the last."""
    found = {}
    for number in range(1, epochs + 1):
        epoch(feed)
        if number in (3, epochs):
            found[number] = round(psutil.Process().memory_info().rss / 2**20, 1)
    return found


def fed_and_cached(feed: Feed, repeats: int) -> dict[str, float]:
    """Seconds of the feed alone, of the steps on batches held in memory, and of the steps fed."""
    step = step_with(examples.VOCABULARY + 2, "adam")
    cached = list(feed.batches(0))
    negatives = [tf.random.uniform([feed.batch_size], 2, examples.VOCABULARY, tf.int32) for _ in range(100)]

    def train(batches: Any) -> None:
        loss: Any = 0.0
        for number, batch in enumerate(batches):
            negative = negatives[number % len(negatives)][: batch["label"].shape[0]]
            loss = step(batch["user_idx"], batch["item_idx"], negative)
        float(loss)

    return medians(
        {"feed": lambda: epoch(feed), "cached": lambda: train(cached), "fed": lambda: train(feed.batches(0))},
        repeats,
    )


def label_variance(feed: Feed) -> float:
    """Variance of the batches' label means, over what a full shuffle gives on average."""
    labels = np.concatenate([block["label"] for block in feed.blocks(0)])
    num = len(labels) // feed.batch_size
    means = labels[: num * feed.batch_size].reshape(num, feed.batch_size).mean(axis=1, dtype=np.float64)
    shuffled = labels.var() / feed.batch_size * (1 - feed.batch_size / len(labels))
    return round(float(means.var() / shuffled), 3)


if __name__ == "__main__":
    main()
