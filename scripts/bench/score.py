"""The scoring job: lists for 100,000 users over 20,000 items, beside MLlib's ALS and beside the least it could take.

The floor is the bare float32 matrix product on both cores, plus the same Spark job writing ready-made lists. Also: a
million items, one user who has seen most of the catalogue, and how seconds grow with the users. `--quick` leaves out
the last three.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from peers import scored
from peers.workers import worker_gib
from pyspark.sql import DataFrame, SparkSession
from recsys_spark.scoring.forms import HISTORY
from threadpoolctl import threadpool_limits

from recsys_spark import cli, config, tables
from recsys_spark.lake import Lake
from recsys_spark.python_tasks import Made
from recsys_spark.scoring import lists, partitions, unchanged
from recsys_spark.scoring.rules import ListSettings

USERS, ITEMS, TOP, BATCH, ROUNDS = 100_000, 20_000, 100, 1024, 5
ALS_USERS, SAMPLE = 4_000, 200
MANY_ITEMS, FEW_USERS = 1_000_000, 4_000
HEAVY, HEAVY_OF_MANY, PAIRS = 15_000, 50_000, 5
OF_A_PAIR = (0, 1, 1, 0, 0, 1)  # runs with and without: what the machine's speed changes meanwhile meets both
GROWTH = (10_000, 100_000, 1_000_000)
READ = ("items", "gaps")  # of the history, by this model
DAY = dt.date(2024, 1, 31)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    # The workers load their model from `peers`, which only this folder has.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = config.load(["local"], [f"lake.root={folder}/lake", "spark.master=local[2]"])
        spark = cli.session(settings, "bench")
        spark.sparkContext.setLogLevel("ERROR")
        figures, ratios = against_peers(spark, folder)
        if not quick:
            for part in (many_items, growth):
                figures |= part(spark, folder)
            ratios |= heavy_user(spark, folder, figures)
        ratios |= nothing_changed(spark, folder, figures)
        spark.stop()
    line = {
        "name": "score",
        "settings": {
            "users": USERS,
            "items": ITEMS,
            "dim": scored.DIM,
            "top": TOP,
            "threads": 2,
            "batch": BATCH,
        },
        "figures": figures,
        "ratios": ratios,
    }
    print(json.dumps(line))


def against_peers(spark: SparkSession, folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    users = scored.write_users(folder, USERS, ITEMS)
    cold = seconds(lambda: write(folder / "lists", job(spark, folder, users, USERS, ITEMS)))
    model = scored.als(spark, folder, *both_factors(folder, USERS, ITEMS))
    # Read before, like the peer's: looking at a Parquet file's columns is a Spark job of its own.
    frame = spark.read.parquet(str(users))
    some = spark.createDataFrame([(n,) for n in range(ALS_USERS)], "user int")
    of_als = str(folder / "of-als")
    rounds = in_rounds(
        ours=lambda: write(folder / "lists", ranked(frame, folder, USERS, ITEMS)),
        product=lambda: multiply(folder),
        writing=lambda: write(folder / "ready", ready_made(frame, folder)),
        als=lambda: model.recommendForUserSubset(some, TOP).write.mode("overwrite").parquet(of_als),
    )
    exact = exact_share(folder)
    ours, product, writing, als = medians(rounds)
    figures = {
        "users_per_second_by_als": round(ALS_USERS / als),
        "seconds": round(ours, 2),
        "seconds_cold": round(cold, 2),
        "product_seconds": round(product, 2),
        "writing_seconds": round(writing, 2),
        "exact_share": exact,
        "users_per_second": round(USERS / ours),
    }
    ratios = {
        "als": round(statistics.median(one["als"] / ALS_USERS / (one["ours"] / USERS) for one in rounds), 2),
        "floor": round(
            statistics.median((one["product"] + one["writing"]) / one["ours"] for one in rounds), 3
        ),
    }
    return figures, ratios


def job(spark: SparkSession, folder: Path, users: Path, num_users: int, num_items: int) -> Made:
    return ranked(spark.read.parquet(str(users)), folder, num_users, num_items)


def ranked(users: DataFrame, folder: Path, num_users: int, num_items: int) -> Made:
    load = partial(scored.load, *map(str, both_factors(folder, num_users, num_items)))
    return lists.lists(users, scored.items(num_items), load, ListSettings(TOP, BATCH, 1), "night", DAY, READ)


def both_factors(folder: Path, num_users: int, num_items: int) -> tuple[Path, Path]:
    return scored.factors(folder, "user", num_users, 1), scored.factors(folder, "item", num_items, 2)


def write(path: Path, *made: Made) -> None:
    """As the job does: into a lake of its own below `path`."""
    shutil.rmtree(path, ignore_errors=True)
    Lake(str(path)).write_made(tables.LISTS, DAY, made)


def files_of(path: Path) -> Path:
    return path / "lists" / f"run_date={DAY}" / "cut=night"


def ready_made(users: DataFrame, folder: Path) -> Made:
    """The job without its ranking: each batch of users gets lists that lay ready."""
    file = next(files_of(folder / "lists").glob("part-*.parquet"))
    batch = pq.ParquetFile(file).read().slice(0, BATCH).combine_chunks().to_batches()[0]
    for name, value in (("cut", "night"), ("run_date", DAY)):
        batch = batch.append_column(name, pa.repeat(pa.scalar(value), len(batch)))

    def hand_out(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for given in batches:
            for start in range(0, given.num_rows, BATCH):
                yield batch.slice(0, min(BATCH, given.num_rows - start))

    return Made(users.drop(*(name for name in HISTORY if name not in READ)), hand_out, tables.LISTS.schema)


def multiply(folder: Path) -> None:
    users, items = (np.load(path) for path in both_factors(folder, USERS, ITEMS))
    # Memory that is new for each product costs half as much as the product.
    scores = np.empty((BATCH, ITEMS), np.float32)
    with threadpool_limits(2):
        for start in range(0, USERS, BATCH):
            some = users[start : start + BATCH]
            np.matmul(some, items.T, out=scores[: len(some)])


def exact_share(folder: Path) -> float:
    """The share of a sample of users whose written list is that of a brute force in double precision."""
    users, items = (np.load(path).astype(np.float64) for path in both_factors(folder, USERS, ITEMS))
    written = pq.read_table(files_of(folder / "lists"), columns=["user_idx", "items"])
    got = {row["user_idx"] - 2: row["items"] for row in written.take(_sample(len(written))).to_pylist()}
    given = pq.read_table(folder / f"users-{USERS}-{ITEMS}-0", columns=["user_idx", "seen"])
    seen = {row["user_idx"] - 2: row["seen"] for row in given.to_pylist() if row["user_idx"] - 2 in got}
    equal = 0
    for user, listed in got.items():
        scores = items @ users[user]
        scores[[0, 1, *seen[user]]] = -np.inf
        best = np.lexsort((np.arange(ITEMS), -scores))[:TOP]
        equal += listed == best.tolist()
    return equal / len(got)


def _sample(num_rows: int) -> pa.Array:
    return pa.array(np.random.default_rng(3).choice(num_rows, SAMPLE, replace=False))


def many_items(spark: SparkSession, folder: Path) -> dict[str, Any]:
    """A million items: users/s, and what a worker's memory holds at most beside the shared matrix."""
    users = scored.write_users(folder, FEW_USERS, MANY_ITEMS)
    made = job(spark, folder, users, FEW_USERS, MANY_ITEMS)
    write(folder / "of-many", made)
    taken = seconds(lambda: write(folder / "of-many", made))
    return {"users_per_second_1m_items": round(FEW_USERS / taken), "worker_gib": worker_gib()}


def growth(spark: SparkSession, folder: Path) -> dict[str, Any]:
    """Seconds = a + b x users."""
    taken = {}
    for number in GROWTH:
        users = scored.write_users(folder, number, ITEMS)
        made = job(spark, folder, users, number, ITEMS)
        times = [
            seconds(partial(write, folder / "growing", made)) for _ in range(1 if number == GROWTH[2] else 3)
        ]
        taken[number] = statistics.median(times)
    slope, start = np.polyfit(list(taken), list(taken.values()), 1)
    later = (taken[GROWTH[2]] - taken[GROWTH[1]]) / (GROWTH[2] - GROWTH[1])
    return {
        **{f"users_per_second_{number}": round(number / value) for number, value in taken.items()},
        "start_seconds": round(float(start), 2),
        "microseconds_a_user": round(float(slope) * 1e6, 1),
        "microseconds_a_user_100k_to_1m": round(later * 1e6, 1),
        "growth_100k_to_1m": round(float(later / slope), 3),
    }


def heavy_user(spark: SparkSession, folder: Path, figures: dict[str, Any]) -> dict[str, float]:
    """Seconds with one user who has seen most of the catalogue over seconds without: median of pairs of three runs."""
    ratios = {}
    cases = (
        ("heavy_user", USERS, ITEMS, HEAVY),
        ("heavy_user_1m_items", FEW_USERS, MANY_ITEMS, HEAVY_OF_MANY),
    )
    for name, num_users, num_items, heaviest in cases:
        frames = [
            job(spark, folder, scored.write_users(folder, num_users, num_items, most), num_users, num_items)
            for most in (heaviest, 0)
        ]
        pairs = []
        for turn in range(PAIRS):
            taken = [0.0, 0.0]
            for one in OF_A_PAIR if turn % 2 else reversed(OF_A_PAIR):
                taken[one] += seconds(partial(write, folder / "heavy", frames[one]))
            pairs.append(taken[0] / taken[1])
        ratios[name] = round(statistics.median(pairs), 3)
        figures[f"{name}_spread"] = [round(min(pairs), 3), round(max(pairs), 3)]
    return ratios


def nothing_changed(spark: SparkSession, folder: Path, figures: dict[str, Any]) -> dict[str, float]:
    """Seconds of a night on which everybody keeps the list, one in a hundred checked, over ranking everybody."""
    users = spark.read.parquet(str(scored.write_users(folder, USERS, ITEMS)))
    users = unchanged.with_fingerprint(users, "shared", READ)
    rank = partial(ranked, folder=folder, num_users=USERS, num_items=ITEMS)
    write(folder / "earlier", rank(users))
    earlier = Lake(str(folder / "earlier")).read(spark, tables.LISTS, DAY)

    def keep() -> None:
        with unchanged.parted(users, earlier, 0.01, DAY) as night:
            checked, lists_of_checked = night.checked
            unchanged.refuse_different(rank(checked).rows(), lists_of_checked)
            kept = unchanged.as_they_are(partitions.in_file_order(night.kept))
            write(folder / "later", rank(night.ranked), kept)

    rounds = in_rounds(ranked=lambda: write(folder / "again", rank(users)), kept=keep)
    everybody, seconds_kept = medians(rounds)
    figures |= {"seconds_all_ranked": round(everybody, 2), "seconds_all_kept": round(seconds_kept, 2)}
    later = Lake(str(folder / "later")).read(spark, tables.LISTS, DAY)
    if later.exceptAll(earlier).count() or later.count() != USERS:
        raise ValueError("lists that were kept differ from those that were ranked")
    return {"all_ranked": round(statistics.median(one["kept"] / one["ranked"] for one in rounds), 3)}


def seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def in_rounds(**runs: Callable[[], Any]) -> list[dict[str, float]]:
    """Seconds of each in each round, after one that warms up. A minute in which the machine is slow meets them all."""
    for run in runs.values():
        run()
    return [{name: seconds(run) for name, run in runs.items()} for _ in range(ROUNDS)]


def medians(rounds: list[dict[str, float]]) -> list[float]:
    """Seconds of each run, in the order in which `in_rounds` was given them."""
    return [statistics.median(one[name] for one in rounds) for name in rounds[0]]


if __name__ == "__main__":
    main()
