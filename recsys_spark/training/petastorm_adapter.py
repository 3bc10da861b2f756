"""The one module that knows petastorm's insides: petastorm 0.13.1 on pyarrow 14 and NumPy 1.26 up to today's.

Petastorm's last release is written against pyarrow up to 14 and NumPy 1. `petastorm_names`
puts back what they removed since; this module then gives petastorm a data set and pieces
(`petastorm_pieces`), a schema, a worker, a thread pool and a reader that

- read exactly the files and row groups asked for, in that order, never a folder;
- lose nothing: the stock pool may say "all done" while row groups are still to come;
- hand out all work at once: the stock ventilator sleeps 10 ms whenever eight row groups are under way;
- copy no table, verify page checksums, and turn lists into matrices without a loop over rows;
- unpickle nothing: the schema is ours, and `common_metadata` is None, so none is loaded out of the data.

Petastorm's own shuffling, sharding, caches and `num_epochs` are not used.
"""

from __future__ import annotations

import logging
import queue
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recsys_spark.training import petastorm_names  # isort: split

# Petastorm can be imported only from here on.
from petastorm import reader
from petastorm.arrow_reader_worker import ArrowReaderWorker
from petastorm.etl import dataset_metadata
from petastorm.reader import Reader
from petastorm.unischema import Unischema, UnischemaField
from petastorm.workers_pool import EmptyResultError, VentilatedItemProcessedMessage, thread_pool
from petastorm.workers_pool.thread_pool import ThreadPool
from petastorm.workers_pool.ventilator import ConcurrentVentilator

from recsys_spark.errors import BadDataError
from recsys_spark.training.columns import Array, ColumnType
from recsys_spark.training.petastorm_pieces import Dataset, Files, Piece, RowGroup

__all__ = ["RowGroup", "read_row_groups"]

for _module, _name in (
    (reader, "pq"),
    (reader, "Reader"),
    (reader, "ThreadPool"),
    (reader, "ArrowReaderWorker"),
    (reader, "infer_or_load_unischema"),
    (Reader, "_filter_row_groups"),
    (Reader, "_create_ventilator"),
    (ArrowReaderWorker, "process"),
    (dataset_metadata, "pq"),
    (dataset_metadata, "_split_piece"),
    (thread_pool, "IO_TIMEOUT_INTERVAL_S"),
    (ThreadPool, "get_results"),
    (ThreadPool, "stop"),
):
    if _name not in vars(_module):  # an inherited one is not the one replaced
        raise ImportError(
            f"petastorm {petastorm_names.SUPPORTED} has no {_module.__name__}.{_name}: reinstall it"
        )


def _schema(dataset: Dataset) -> Unischema:
    fields = [UnischemaField(name, kind.dtype, kind.row_shape) for name, kind in dataset.fs.columns.items()]
    return Unischema("columns", fields)


class _OrderedReader(Reader):  # type: ignore[misc]
    def _filter_row_groups(
        self, dataset: Dataset, row_groups: Sequence[Piece], *_: object
    ) -> tuple[list[int], None]:
        places = {(piece.path, piece.row_group): i for i, piece in enumerate(row_groups)}
        wanted = [(group.uri, group.number) for group in dataset.fs.row_groups]
        for uri, number in wanted:
            if (uri, number) not in places:
                raise BadDataError(f"{uri}: no row group {number}; the file is not the committed one")
        return [places[place] for place in wanted], None

    def _create_ventilator(self, row_group_indexes: Sequence[int], *_: object) -> ConcurrentVentilator:
        # How many are read ahead is bounded by the pool's queues of results.
        work = [{"piece_index": i} for i in row_group_indexes]
        return ConcurrentVentilator(self._workers_pool.ventilate, work)


class _Worker(ArrowReaderWorker):  # type: ignore[misc]
    def process(self, piece_index: int | None) -> None:
        if piece_index is None:  # the pool stops
            return
        result: object
        try:
            result = self._split_pieces[piece_index].read()
        except Exception as error:  # travels in its row group's place, and `get_results` raises it
            result = error
        self.publish_func(result)


class _RoundRobinPool(ThreadPool):  # type: ignore[misc]
    """Takes worker i's result, then worker i+1's: row group k is always the k-th result.

    Work is handed out the same way, so the order does not depend on the number of threads, and the
    end is reached only when the ventilator is done and as many results came as were handed out.
    """

    _taken = 0

    def get_results(self) -> object:
        while True:
            if self._ventilator.completed() and self._taken == self._ventilated_items:
                raise EmptyResultError
            try:
                result = self._results_queues[self._taken % self.workers_count].get(timeout=0.1)
            except queue.Empty:
                continue
            if isinstance(result, VentilatedItemProcessedMessage):
                self._taken += 1
                self._ventilator.processed_item()
            elif isinstance(result, Exception):
                raise result
            else:
                return result

    def stop(self) -> None:
        super().stop()
        for work in self._ventilator_queues:  # wakes who waits for work
            work.put(((None,), {}))


_parquet = types.SimpleNamespace(ParquetDataset=Dataset, ParquetDatasetPiece=Piece)
reader.pq = dataset_metadata.pq = _parquet
reader.Reader = _OrderedReader
reader.ThreadPool = _RoundRobinPool
reader.ArrowReaderWorker = _Worker
reader.infer_or_load_unischema = _schema
thread_pool.IO_TIMEOUT_INTERVAL_S = 0.02  # at 1 ms, ten threads that wait for the trainer take 8 % of a core
logging.getLogger("petastorm").setLevel(logging.WARNING)  # it tells of every missing _common_metadata


def read_row_groups(
    row_groups: Sequence[RowGroup],
    columns: Mapping[str, ColumnType],
    num_threads: int,
    footers: dict[str, Any],
) -> Iterator[dict[str, Array]]:
    """The columns of each row group, in the order given, for any number of threads.

    Closes the reader's threads when it ends, fails, or is itself closed early.

    Args:
        row_groups: at least one.
        columns: by name, what each must hold.
        num_threads: row groups read at a time.
        footers: footers read so far, by URI; filled here, so that the next epoch need not read them.

    Raises:
        BadDataError: a file or row group cannot be read or breaks `columns`; names both.
        LakeError: no file system is known for a URI.
    """
    files = Files(row_groups, columns, footers)
    opened = reader.make_batch_reader(
        "file:///",  # asked for and never used: `files` says what is read
        workers_count=num_threads,
        results_queue_size=2 * num_threads,
        shuffle_row_groups=False,
        filesystem=files,
    )
    try:
        for group, rows in zip(row_groups, opened, strict=True):
            arrays = {name: getattr(rows, name) for name in columns}
            got = len(next(iter(arrays.values())))
            if got != group.num_rows:
                raise BadDataError(
                    f"{group.uri} row group {group.number}: expected {group.num_rows} rows, got {got}"
                )
            yield arrays
    finally:
        opened.stop()
        opened.join()
