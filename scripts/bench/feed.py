"""Two million examples with a history of 50 as mixed batches, beside a bare read and petastorm's own way.

Also: what the mixing is worth, whether memory grows over twenty epochs, and what a training waits for its feed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import psutil
import pyarrow.dataset as ds
import tensorflow as tf
from peers import examples
from train_step import ours as step_with

from recsys_spark.tables import DataFile
from recsys_spark.training.feed import Feed

BATCH, THREADS, REPEATS, EPOCHS = 4096, 2, 7, 20


def main() -> None:
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        files = examples.write(Path(folder))
        feed = Feed(files, examples.COLUMNS, BATCH, seed=1, num_threads=THREADS)
        memory = resident_after_epochs(feed)
        paths = [urlparse(file.uri).path for file in files]
        taken = medians({"ours": lambda: epoch(feed), "raw_pyarrow": lambda: raw(paths)})
        taken["stock_petastorm"], lost = stock(files)
        waiting = fed_and_cached(feed)
        mixing = label_variance(feed)
    line = {
        "name": "feed",
        "settings": {
            "rows": examples.ROWS,
            "history": examples.LENGTH,
            "batch": BATCH,
            "threads": THREADS,
            "window_row_groups": feed.window_row_groups,
            "files": len(files),
        },
        "figures": {
            **{f"{name}_rows_per_second": round(examples.ROWS / seconds) for name, seconds in taken.items()},
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


def medians(cases: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Seconds of each case; they take turns, after a turn that warms up."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(1 + REPEATS):
        for name, case in cases.items():
            began = time.perf_counter()
            case()
            if turn:
                taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(found) for name, found in taken.items()}


def epoch(feed: Feed) -> None:
    check(sum(int(batch["label"].shape[0]) for batch in feed.batches(0)))


def raw(paths: list[str]) -> None:
    check(sum(part.num_rows for part in ds.dataset(paths).to_batches(columns=list(examples.COLUMNS))))


def check(num_rows: int) -> None:
    if num_rows != examples.ROWS:
        sys.exit(f"feed: {num_rows} rows came, expected {examples.ROWS}")


def stock(files: list[DataFile]) -> tuple[float, int]:
    """Median seconds of petastorm's own readings after the first, and the rows that all of them lost."""
    command = [sys.executable, "-m", "peers.stock_petastorm", *(file.uri for file in files)]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    seconds = statistics.median(reading["seconds"] for reading in found[1:])
    return seconds, sum(examples.ROWS - reading["rows"] for reading in found)


def resident_after_epochs(feed: Feed) -> dict[int, float]:
    """MiB of this process after epochs 3 and 20."""
    found = {}
    for number in range(1, EPOCHS + 1):
        epoch(feed)
        if number in (3, EPOCHS):
            found[number] = round(psutil.Process().memory_info().rss / 2**20, 1)
    return found


def fed_and_cached(feed: Feed) -> dict[str, float]:
    """Seconds of the feed alone, of the steps on batches held in memory, and of the steps fed."""
    step = step_with(examples.VOCABULARY + 2, "adam")
    cached = list(feed.batches(0))
    negatives = [tf.random.uniform([BATCH], 2, examples.VOCABULARY, tf.int32) for _ in range(100)]

    def train(batches: Any) -> None:
        loss: Any = 0.0
        for number, batch in enumerate(batches):
            negative = negatives[number % len(negatives)][: batch["label"].shape[0]]
            loss = step(batch["user_idx"], batch["item_idx"], negative)
        float(loss)

    return medians(
        {"feed": lambda: epoch(feed), "cached": lambda: train(cached), "fed": lambda: train(feed.batches(0))}
    )


def label_variance(feed: Feed) -> float:
    """Variance of the batches' label means, over what a full shuffle gives on average."""
    labels = np.concatenate([block["label"] for block in feed.blocks(0)])
    num = len(labels) // BATCH
    means = labels[: num * BATCH].reshape(num, BATCH).mean(axis=1, dtype=np.float64)
    return round(float(means.var() / (labels.var() / BATCH * (1 - BATCH / len(labels)))), 3)


if __name__ == "__main__":
    main()
