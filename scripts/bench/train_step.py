"""Steps/s of a two-tower network with tables of 10 thousand to 10 million rows, beside Keras's own Adam.

Pairwise logistic loss with one negative, batch 4096, dim 64; the same number of rows in the user and the item table.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from recsys_spark.training.optimizers import optimizer

BATCH, DIM, RATE, THREADS = 4096, 64, 1e-3, 2
VOCABULARIES = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000}
EXPONENT = 1.0  # of Zipf's law


class Size(NamedTuple):
    """How many rows the tables have, and how often a step is taken.

    Attributes:
        divisor: of the rows that a case is named for.
        pool: different batches.
        rounds: of `steps` steps of each case in turn.
        warm_up: steps before them.
    """

    divisor: int = 1
    pool: int = 120
    rounds: int = 60
    steps: int = 10
    warm_up: int = 30


TINY = Size(divisor=1000, pool=4, rounds=1, steps=2, warm_up=1)

Batches = list[tuple[Any, ...]]
Step = Callable[..., Any]


@tf.function
def values(rows: Any, seed: Any) -> Any:  # a function works in one buffer, eager operations in three
    return tf.random.stateless_uniform(tf.stack([rows, DIM]), tf.stack([seed, 0]), -0.05, 0.05)


def table(rows: int, seed: int) -> tf.Variable:
    return tf.Variable(values(tf.constant(rows), tf.constant(seed)))


def step_of(users: Any, items: Any, apply: Callable[[list[Any]], Any]) -> Step:
    @tf.function
    def step(user: Any, positive: Any, negative: Any) -> Any:
        with tf.GradientTape() as tape:
            better = tf.gather(items, positive) - tf.gather(items, negative)
            loss = tf.reduce_mean(tf.nn.softplus(-tf.reduce_sum(tf.gather(users, user) * better, axis=1)))
        apply(tape.gradient(loss, [users, items]))
        return loss

    return step


def ours(rows: int, name: str) -> Step:
    users, items = table(rows, 1), table(rows, 2)
    made = optimizer(name, RATE, [users, items])
    return step_of(users, items, made.apply)


def stock(rows: int) -> Step:
    users, items = keras.Variable(table(rows, 1)), keras.Variable(table(rows, 2))
    adam = keras.optimizers.Adam(RATE)
    adam.build([users, items])
    return step_of(users.value, items.value, lambda gradients: adam.apply(gradients, [users, items]))


def uniform(rows: int, pool: int) -> Batches:
    ids = np.random.default_rng(1).integers(0, rows, (pool, 3, BATCH), np.int32)
    return [tuple(tf.constant(column) for column in batch) for batch in ids]


def zipf(rows: int, pool: int) -> Batches:
    rng = np.random.default_rng(2)
    steps = np.cumsum(1 / np.arange(1, rows + 1) ** EXPONENT)
    ranks = np.searchsorted(steps, rng.random((pool, 3, BATCH)) * steps[-1])
    ids = rng.permutation(rows).astype(np.int32)[ranks]  # the popular rows do not lie side by side
    return [tuple(tf.constant(column) for column in batch) for batch in ids]


def seconds(step: Step, batches: Batches, start: int, steps: int) -> float:
    began = time.perf_counter()
    for number in range(start, start + steps):
        loss = step(*batches[number % len(batches)])
    float(loss)
    return (time.perf_counter() - began) / steps


def steps_per_second(cases: dict[str, tuple[Step, Batches]], size: Size) -> dict[str, float]:
    """Median over the rounds; the cases take turns, so that a noisy machine disturbs all alike."""
    for step, batches in cases.values():
        seconds(step, batches, 0, size.warm_up)
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(size.rounds):
        for name, (step, batches) in cases.items():
            taken[name].append(seconds(step, batches, turn * size.steps, size.steps))
    return {name: 1 / statistics.median(times) for name, times in taken.items()}


def limit_threads() -> None:
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)


def ten_million(size: Size) -> tuple[float, float]:
    """Steps/s and the peak memory of this process, GiB."""
    limit_threads()
    rows = 10_000_000 // size.divisor
    speed = steps_per_second({"": (ours(rows, "adagrad"), uniform(rows, size.pool))}, size)[""]
    return speed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="so small that it shows only that it runs")
    size = TINY if parser.parse_args().tiny else Size()
    # First: a child's peak starts at what its parent held.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:
        adagrad, peak = child.submit(ten_million, size).result()
    limit_threads()
    cases: dict[str, tuple[Step, Batches]] = {}
    for name, full in VOCABULARIES.items():
        rows = full // size.divisor
        step = ours(rows, "adam")
        cases |= {
            name: (step, uniform(rows, size.pool)),
            f"{name}_zipf": (step, zipf(rows, size.pool)),
        }
    cases["10k_stock"] = (stock(VOCABULARIES["10k"] // size.divisor), cases["10k"][1])
    speed = steps_per_second(cases, size)
    figures = {f"steps_per_second_{name}": round(value, 1) for name, value in speed.items()}
    figures |= {"steps_per_second_10m_adagrad": round(adagrad, 1), "peak_gib_10m_adagrad": round(peak, 2)}
    print(
        json.dumps(
            {
                "name": "train_step",
                "settings": {
                    "batch": BATCH,
                    "dim": DIM,
                    "tables": 2,
                    "optimizer": "adam",
                    "threads": THREADS,
                    "zipf_exponent": EXPONENT,
                    "vocabularies_divided_by": size.divisor,
                },
                "figures": figures,
                "ratios": {
                    "vocabulary_1m_to_100k": round(speed["1m"] / speed["100k"], 3),
                    "vocabulary_1m_to_10k": round(speed["1m"] / speed["10k"], 3),
                    "stock_adam_10k": round(speed["10k"] / speed["10k_stock"], 3),
                },
            }
        )
    )


if __name__ == "__main__":
    main()
