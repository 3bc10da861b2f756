"""The scoring job: lists for 100,000 users over 20,000 items, beside MLlib's ALS and beside the least it could take.

The floor is the bare float32 matrix product on both cores, plus the same Spark job writing ready-made lists.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from peers import scored
from peers.looked_up import READ
from peers.ranked import (
    BATCH,
    DAY,
    TOP,
    both_factors,
    files_of,
    in_rounds,
    job,
    medians,
    ranked,
    seconds,
    session,
    write,
)
from pyspark.sql import DataFrame, SparkSession
from threadpoolctl import threadpool_limits

from recsys_spark import tables
from recsys_spark.forms.form import HISTORY
from recsys_spark.python_tasks import FromPython


class Size(NamedTuple):
    """How many users and items, and how often.

    Attributes:
        als_users: of them, for whom ALS recommends.
        sample: users whose lists are compared with a brute force.
    """

    users: int = 100_000
    items: int = 20_000
    als_users: int = 4_000
    sample: int = 200
    rounds: int = 5


TINY = Size(users=400, items=2_000, als_users=100, sample=20, rounds=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="so small that it shows only that it runs")
    size = TINY if parser.parse_args().tiny else Size()
    with session() as (spark, folder):
        figures, ratios = against_peers(spark, folder, size)
    line = {
        "name": "score",
        "settings": {
            "users": size.users,
            "items": size.items,
            "dim": scored.DIM,
            "top": TOP,
            "threads": 2,
            "batch": BATCH,
        },
        "figures": figures,
        "ratios": ratios,
    }
    print(json.dumps(line))


def against_peers(spark: SparkSession, folder: Path, size: Size) -> tuple[dict[str, Any], dict[str, float]]:
    """The figures and the ratios."""
    numbers = size.users, size.items
    cold = seconds(lambda: write(folder / "lists", job(spark, folder, *numbers)))
    model = scored.als(spark, folder, *both_factors(folder, *numbers))
    # Read before, like the peer's: looking at a Parquet file's columns is a Spark job of its own.
    frame = spark.read.parquet(str(scored.write_users(folder, *numbers)))
    subset = spark.createDataFrame([(n,) for n in range(size.als_users)], "user int")
    of_als = str(folder / "of-als")
    rounds = in_rounds(
        size.rounds,
        ours=lambda: write(folder / "lists", ranked(frame, folder, *numbers)),
        product=lambda: multiply(folder, *numbers),
        writing=lambda: write(folder / "ready", ready_made(frame, folder)),
        als=lambda: model.recommendForUserSubset(subset, TOP).write.mode("overwrite").parquet(of_als),
    )
    ours, product, writing, als = medians(rounds)
    figures = {
        "users_per_second_by_als": round(size.als_users / als),
        "seconds": round(ours, 2),
        "seconds_cold": round(cold, 2),
        "product_seconds": round(product, 2),
        "writing_seconds": round(writing, 2),
        "exact_share": exact_share(folder, size),
        "users_per_second": round(size.users / ours),
    }
    share = size.als_users / size.users
    ratios = {
        "als": round(statistics.median(one["als"] / one["ours"] / share for one in rounds), 2),
        "floor": round(
            statistics.median((one["product"] + one["writing"]) / one["ours"] for one in rounds), 3
        ),
    }
    return figures, ratios


def ready_made(users: DataFrame, folder: Path) -> FromPython:
    """The job without its ranking: each batch of users gets lists that lay ready."""
    file = next(files_of(folder / "lists").glob("part-*.parquet"))
    batch = pq.ParquetFile(file).read().slice(0, BATCH).combine_chunks().to_batches()[0]
    for name, value in (("cut", "night"), ("run_date", DAY)):
        batch = batch.append_column(name, pa.repeat(pa.scalar(value), len(batch)))

    def hand_out(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in batches:
            for start in range(0, rows.num_rows, BATCH):
                yield batch.slice(0, min(BATCH, rows.num_rows - start))

    return FromPython(
        users.drop(*(name for name in HISTORY if name not in READ)), hand_out, tables.LISTS.schema
    )


def multiply(folder: Path, num_users: int, num_items: int) -> None:
    users, items = (np.load(path) for path in both_factors(folder, num_users, num_items))
    # Memory that is new for each product costs half as much as the product.
    scores = np.empty((BATCH, num_items), np.float32)
    with threadpool_limits(2):
        for start in range(0, num_users, BATCH):
            batch = users[start : start + BATCH]
            np.matmul(batch, items.T, out=scores[: len(batch)])


def exact_share(folder: Path, size: Size) -> float:
    """The share of a sample of users whose written list is that of a brute force in double precision."""
    users, items = (np.load(path).astype(np.float64) for path in both_factors(folder, size.users, size.items))
    written = pq.read_table(files_of(folder / "lists"), columns=["user_idx", "items"])
    sample = pa.array(np.random.default_rng(3).choice(len(written), size.sample, replace=False))
    got = {row["user_idx"] - 2: row["items"] for row in written.take(sample).to_pylist()}
    histories = pq.read_table(folder / f"users-{size.users}-{size.items}-0", columns=["user_idx", "seen"])
    seen = {row["user_idx"] - 2: row["seen"] for row in histories.to_pylist() if row["user_idx"] - 2 in got}
    equal = 0
    for user, listed in got.items():
        scores = items @ users[user]
        scores[[0, 1, *seen[user]]] = -np.inf
        best = np.lexsort((np.arange(size.items), -scores))[:TOP]
        equal += listed == best.tolist()
    return equal / len(got)


if __name__ == "__main__":
    main()
