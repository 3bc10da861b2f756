"""The metrics of twenty million recommended rows by our Spark code, beside a lazy polars program.

Both read the same Parquet files and take every metric but no bootstrap; a mean that differs by more than 1e-9
fails the run. `--users` makes it smaller.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlparse

from peers import polars_metrics, recommended
from pyspark.sql import SparkSession

from recsys_spark import cli, config, tables
from recsys_spark.evaluation import item_facts, judged, measure
from recsys_spark.lake import Lake

KS = (10, 20, 100)


class Size(NamedTuple):
    """How many users, and how often each side runs before the clock and on it."""

    users: int = 213_000
    warm_ups: int = 3
    repeats: int = 5


TINY = Size(users=500, warm_ups=0, repeats=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=Size().users)
    parser.add_argument("--folder", help="lake to keep and to use again; one for each number of users")
    parser.add_argument("--tiny", action="store_true", help="so small that it shows only that it runs")
    args = parser.parse_args()
    size = TINY if args.tiny else Size(args.users)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or temporary
        settings = config.load(["local"], [f"lake.root={folder}", "spark.master=local[2]"])
        spark, lake = cli.session(settings, "bench"), Lake(folder)
        spark.sparkContext.setLogLevel("ERROR")
        if not lake.dates(tables.LISTS):
            recommended.write(spark, lake, size.users)
        ours, taken = median(lambda: by_spark(spark, lake), size)
        polars, polars_taken = median(lambda: by_polars(lake), size)
        rows = polars_metrics.num_rows(paths(lake, tables.LISTS))
        num_users = lake.num_rows(tables.TRUTH, recommended.DATE)
        spark.stop()
    check(ours, polars)
    line = {
        "name": "metrics",
        "settings": {
            "items": recommended.ITEMS,
            "top": recommended.TOP,
            "ks": KS,
            "threads": 2,
            "bootstrap": "left out on both sides",
        },
        "figures": {
            "users": num_users,
            "rows": rows,
            "seconds": round(taken, 2),
            "polars_seconds": round(polars_taken, 2),
        },
        "ratios": {"polars": round(taken / polars_taken, 3)},
    }
    print(json.dumps(line))


def median(run: Callable[[], dict[str, float]], size: Size) -> tuple[dict[str, float], float]:
    """What a run found and the median of its seconds, after some that warm up: Java compiles in each of them."""
    found: dict[str, float] = {}
    taken = []
    for _ in range(size.warm_ups + size.repeats):
        began = time.perf_counter()
        found = run()
        taken.append(time.perf_counter() - began)
    print("seconds:", *[f"{one:.2f}" for one in taken], file=sys.stderr)
    return found, statistics.median(taken[size.warm_ups :])


def by_spark(spark: SparkSession, lake: Lake) -> dict[str, float]:
    """The test half of `jobs/evaluate.py`."""
    day, cut, names = recommended.DATE, "test", [recommended.RECOMMENDER]
    on_test = judged.on_test(
        lake.read(spark, tables.TRUTH, day, cut=cut), lake.read(spark, tables.LISTS, day, cut=cut), names
    )
    facts = item_facts.item_facts(
        lake.read_rows(tables.ITEM_FEATURES, day, cut=cut), lake.num_rows(tables.USER_FEATURES, day, cut=cut)
    )
    num_users = lake.num_rows(tables.TRUTH, day, cut=cut)
    rows = measure.measure(on_test, num_users, facts, names, "time", measure.Settings(KS, 1, 0, 1))
    return {f"{row['metric']}_{row['k']}": row["value"] for row in rows}


def by_polars(lake: Lake) -> dict[str, float]:
    num_users = lake.num_rows(tables.USER_FEATURES, recommended.DATE, cut="test")
    files = [paths(lake, table) for table in (tables.LISTS, tables.TRUTH, tables.ITEM_FEATURES)]
    return polars_metrics.measure(*files, num_users, KS)


def paths(lake: Lake, table: Any) -> list[str]:
    return [urlparse(file.uri).path for file in lake.files(table, recommended.DATE, "test")]


def check(ours: dict[str, float], polars: dict[str, float]) -> None:
    differ = [
        f"{name}: ours {value!r}, polars {polars.get(name)!r}"
        for name, value in ours.items()
        if name not in polars or abs(value - polars[name]) > 1e-9 * abs(polars[name])
    ]
    if differ or set(ours) != set(polars):
        sys.exit(f"metrics: {'; '.join(differ) or sorted(set(polars) ^ set(ours))}")


if __name__ == "__main__":
    main()
