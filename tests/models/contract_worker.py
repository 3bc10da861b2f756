"""Load a stored model, rank one Arrow batch and write its lists as a Spark worker does; prints this process's peak.

Run by test_contract_memory.py as a process of its own, with one argument: the folder in which its inputs lie.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyspark.worker  # noqa: F401  what every worker has imported
from scoring.one_scoring_worker import DAY

from recsys_spark import tables
from recsys_spark.lake.parquet import arrow_schema
from recsys_spark.lake.storage import store_at
from recsys_spark.lake.worker_files import Place, write_partition
from recsys_spark.scoring import lists, loaded_models
from recsys_spark.scoring.ranker import ranker
from recsys_spark.scoring.rules import ListSettings


def main(folder: Path) -> None:
    loaded_models.cap_threads(1)
    stored, settings = pickle.loads((folder / "model").read_bytes())
    model = loaded_models.load(stored, 1) if stored else None
    packed = ranker(pickle.loads((folder / "catalogue").read_bytes()), model, ListSettings(**settings))

    def rank(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, settings["batch_users"]):
                ranked = packed.lists(batch.slice(start, settings["batch_users"]))
                yield lists.rows(ranked, pa.nulls(len(ranked), pa.int64()), lists.Lot("night", DAY))

    place = Place(store_at(str(folder)), "lists", arrow_schema(tables.LISTS), ("cut",), "attempt", DAY)
    with (folder / "users").open("rb") as file:
        list(write_partition(place, rank, pa.ipc.open_stream(file)))
    status = Path("/proc/self/status").read_text().splitlines()
    [peak] = [line.split()[1] for line in status if line.startswith("VmHWM")]
    print(int(peak) * 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
