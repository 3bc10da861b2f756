"""How the scoring job's seconds grow: with users, with a million items, and with one user who has seen most of them."""

from __future__ import annotations

import argparse
import json
import statistics
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from peers import scored
from peers.ranked import BATCH, TOP, job, seconds, session, write
from peers.workers import worker_gib
from pyspark.sql import SparkSession

OF_A_PAIR = (0, 1, 1, 0, 0, 1)  # runs with and without: what the machine's speed changes meanwhile meets both


class Size(NamedTuple):
    """How many users and items, and how often.

    Attributes:
        growth: numbers of users over `items` items, ascending.
        few_users: who are ranked over `many_items`.
        heavy, heavy_of_many: distinct items that the heaviest user has seen of `items` and of `many_items`.
        pairs: of three runs with that user and three without.
    """

    growth: tuple[int, int, int] = (10_000, 100_000, 1_000_000)
    items: int = 20_000
    few_users: int = 4_000
    many_items: int = 1_000_000
    heavy: int = 15_000
    heavy_of_many: int = 50_000
    pairs: int = 5


TINY = Size(
    growth=(100, 200, 400),
    items=2_000,
    few_users=100,
    many_items=4_000,
    heavy=300,
    heavy_of_many=300,
    pairs=1,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="so small that it shows only that it runs")
    size = TINY if parser.parse_args().tiny else Size()
    with session() as (spark, folder):
        figures = many_items(spark, folder, size) | growth(spark, folder, size)
        ratios = heavy_user(spark, folder, size, figures)
    ratios["growth_100k_to_1m"] = figures.pop("growth_100k_to_1m")
    line = {
        "name": "score_growth",
        "settings": {**size._asdict(), "dim": scored.DIM, "top": TOP, "threads": 2, "batch": BATCH},
        "figures": figures,
        "ratios": ratios,
    }
    print(json.dumps(line))


def many_items(spark: SparkSession, folder: Path, size: Size) -> dict[str, Any]:
    """A million items: users/s, and what a worker's memory holds at most beside the shared matrix."""
    made = job(spark, folder, size.few_users, size.many_items)
    write(folder / "of-many", made)
    taken = seconds(lambda: write(folder / "of-many", made))
    return {"users_per_second_1m_items": round(size.few_users / taken), "worker_gib": worker_gib()}


def growth(spark: SparkSession, folder: Path, size: Size) -> dict[str, Any]:
    """Seconds = a + b x users."""
    _, middle, most = size.growth
    taken = {}
    for number in size.growth:
        made = job(spark, folder, number, size.items)
        times = [seconds(partial(write, folder / "growing", made)) for _ in range(1 if number == most else 3)]
        taken[number] = statistics.median(times)
    slope, start = np.polyfit(list(taken), list(taken.values()), 1)
    later = (taken[most] - taken[middle]) / (most - middle)
    return {
        **{f"users_per_second_{number}": round(number / value) for number, value in taken.items()},
        "start_seconds": round(float(start), 2),
        "microseconds_a_user": round(float(slope) * 1e6, 1),
        "microseconds_a_user_100k_to_1m": round(later * 1e6, 1),
        "growth_100k_to_1m": round(float(later / slope), 3),
    }


def heavy_user(spark: SparkSession, folder: Path, size: Size, figures: dict[str, Any]) -> dict[str, float]:
    """Seconds with one user who has seen most of the catalogue over seconds without: median of the pairs.

    Puts the least and the greatest of them into `figures`.
    """
    ratios = {}
    cases = (
        ("heavy_user", size.growth[1], size.items, size.heavy),
        ("heavy_user_1m_items", size.few_users, size.many_items, size.heavy_of_many),
    )
    for name, num_users, num_items, heaviest in cases:
        frames = [job(spark, folder, num_users, num_items, most) for most in (heaviest, 0)]
        pairs = []
        for turn in range(size.pairs):
            taken = [0.0, 0.0]
            for one in OF_A_PAIR if turn % 2 else reversed(OF_A_PAIR):
                taken[one] += seconds(partial(write, folder / "heavy", frames[one]))
            pairs.append(taken[0] / taken[1])
        ratios[name] = round(statistics.median(pairs), 3)
        figures[f"{name}_spread"] = [round(min(pairs), 3), round(max(pairs), 3)]
    return ratios


if __name__ == "__main__":
    main()
