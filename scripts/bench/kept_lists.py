"""A night on which everybody keeps the list of the night before, one in a hundred checked, beside ranking everybody.

The model's user vectors are looked up: 100,000 users, 20,000 items.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from peers import scored
from peers.ranked import BATCH, DAY, SETTINGS, TOP, basis, in_rounds, medians, ranked, session, write
from pyspark.sql import SparkSession

from recsys_spark import tables
from recsys_spark.lake import Lake
from recsys_spark.scoring import fingerprint, unchanged

CHECKED = 0.01


class Size(NamedTuple):
    users: int = 100_000
    items: int = 20_000
    rounds: int = 5


TINY = Size(users=400, items=2_000, rounds=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="so small that it shows only that it runs")
    size = TINY if parser.parse_args().tiny else Size()
    with session() as (spark, folder):
        figures, ratios = nothing_changed(spark, folder, size)
    line = {
        "name": "kept_lists",
        "settings": {**size._asdict(), "dim": scored.DIM, "top": TOP, "batch": BATCH, "checked": CHECKED},
        "figures": figures,
        "ratios": ratios,
    }
    print(json.dumps(line))


def nothing_changed(spark: SparkSession, folder: Path, size: Size) -> tuple[dict[str, Any], dict[str, float]]:
    """The figures and the ratios."""
    users = spark.read.parquet(str(scored.write_users(folder, size.users, size.items)))
    shared = basis(folder, size.users, size.items)
    users = fingerprint.with_fingerprint(users, shared, SETTINGS)
    rank = partial(ranked, folder=folder, num_users=size.users, num_items=size.items)
    write(folder / "earlier", rank(users))
    earlier = Lake(str(folder / "earlier")).read(spark, tables.LISTS, DAY)

    def keep() -> None:
        with unchanged.parted(users, earlier, CHECKED, DAY) as parted:
            unchanged.refuse_different(parted, shared, SETTINGS, DAY)
            write(folder / "later", *unchanged.night_lists(parted, shared, SETTINGS, DAY, 2))

    rounds = in_rounds(size.rounds, ranked=lambda: write(folder / "again", rank(users)), kept=keep)
    everybody, kept = medians(rounds)
    later = Lake(str(folder / "later")).read(spark, tables.LISTS, DAY)
    if later.exceptAll(earlier).count() or later.count() != size.users:
        sys.exit("kept_lists: lists that were kept differ from those that were ranked")
    figures = {"seconds_all_ranked": round(everybody, 2), "seconds_all_kept": round(kept, 2)}
    return figures, {"all_ranked": round(statistics.median(one["kept"] / one["ranked"] for one in rounds), 3)}


if __name__ == "__main__":
    main()
