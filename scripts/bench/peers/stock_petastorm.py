"""Petastorm's own conversion: `python -m peers.stock_petastorm REPEATS FILE...` prints rows and seconds of each.

Today's pyarrow needs names and a data set that petastorm can open; worker, pool, conversion and tf.data glue are
petastorm's as published. So are its faults: it may lose rows, which the count shows.
"""

from __future__ import annotations

import json
import sys
import time
import types
from typing import Any

from recsys_spark.training import petastorm_names  # isort: split

import fsspec
import pyarrow.parquet as pq
from petastorm import arrow_reader_worker, make_batch_reader, reader
from petastorm.etl import dataset_metadata
from petastorm.tf_utils import make_petastorm_dataset

BATCH, THREADS = 4096, 2


class Piece:
    def __init__(
        self, path: str, open_file_func: Any, row_group: int | None = None, partition_keys: object = ()
    ) -> None:
        self.path, self.row_group, self.partition_keys = path, row_group, partition_keys

    def get_metadata(self) -> Any:
        return pq.read_metadata(self.path)

    def read(self, columns: Any = None, partitions: object = None) -> Any:
        with pq.ParquetFile(self.path) as file:
            return file.read_row_group(self.row_group, columns=sorted(columns), use_threads=False)


class Dataset:
    partitions = metadata = common_metadata = None

    def __init__(self, path_or_paths: Any, filesystem: Any, **_: object) -> None:
        self.paths, self.fs = path_or_paths, fsspec.filesystem("file")

    @property
    def schema(self) -> Any:
        return types.SimpleNamespace(to_arrow_schema=lambda: pq.read_schema(self.paths[0]))

    @property
    def pieces(self) -> list[Piece]:
        return [Piece(path, None, 0, ()) for path in self.paths]


def main() -> None:
    stand_in = types.SimpleNamespace(ParquetDataset=Dataset, ParquetDatasetPiece=Piece)
    reader.pq = dataset_metadata.pq = arrow_reader_worker.pq = stand_in
    print(f"petastorm {petastorm_names.SUPPORTED}", file=sys.stderr)
    found = []
    repeats, *files = sys.argv[1:]
    for _ in range(int(repeats)):
        began, rows = time.perf_counter(), 0
        with make_batch_reader(
            files, schema_fields=["user_idx", "item_idx", "label", "history"],
            workers_count=THREADS, num_epochs=1,
        ) as opened:  # fmt: skip
            for batch in make_petastorm_dataset(opened).rebatch(BATCH):
                rows += int(batch.user_idx.shape[0])
        found.append({"rows": rows, "seconds": time.perf_counter() - began})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
