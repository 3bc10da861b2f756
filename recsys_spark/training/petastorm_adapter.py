"""The one module that knows petastorm's insides: petastorm 0.13.1 on today's pyarrow and NumPy.

Petastorm's last release is written against pyarrow up to 14 and NumPy 1. `petastorm_names`
puts back what they removed since; this module then gives petastorm a data set and pieces
(`petastorm_pieces`), a worker, a thread pool and a reader that

- read exactly the files and row groups asked for, in that order, never a folder;
- lose nothing: the stock pool may say "all done" while row groups are still to come;
- copy no table, verify page checksums, and turn lists into matrices without a loop over rows;
- unpickle nothing: `common_metadata` is None, so no schema is ever loaded out of the data.

Petastorm's own shuffling, sharding, caches and `num_epochs` are not used.
"""

from __future__ import annotations

import logging
import queue
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from recsys_spark.training import petastorm_names  # isort: split

# Petastorm can be imported only from here on.
from petastorm import reader
from petastorm.arrow_reader_worker import ArrowReaderWorker
from petastorm.etl import dataset_metadata
from petastorm.selectors import RowGroupSelectorBase
from petastorm.workers_pool import EmptyResultError, VentilatedItemProcessedMessage
from petastorm.workers_pool.thread_pool import ThreadPool

from recsys_spark.errors import BadDataError
from recsys_spark.training.columns import Array, ColumnType
from recsys_spark.training.petastorm_pieces import Dataset, Files, Piece

for _module, _name in (
    (reader, "pq"),
    (reader, "Reader"),
    (reader, "ThreadPool"),
    (reader, "ArrowReaderWorker"),
    (reader.Reader, "_filter_row_groups"),
    (ArrowReaderWorker, "process"),
    (dataset_metadata, "pq"),
    (dataset_metadata, "_split_piece"),
    (ThreadPool, "get_results"),
):
    if not hasattr(_module, _name):
        raise ImportError(
            f"petastorm {petastorm_names.SUPPORTED} has no {_module.__name__}.{_name}: reinstall it"
        )


class RowGroup(NamedTuple):
    """One row group to read: its file's URI, its number in the file, the rows it must hold."""

    uri: str
    number: int
    num_rows: int


class _Order(RowGroupSelectorBase):  # type: ignore[misc]
    def __init__(self, row_groups: Sequence[RowGroup]) -> None:
        self.row_groups = row_groups

    def get_index_names(self) -> list[str]:
        return []

    def select_row_groups(self, index_dict: Mapping[tuple[str, int], int]) -> list[int]:
        missing = [g for g in self.row_groups if (g.uri, g.number) not in index_dict]
        if missing:
            raise BadDataError(
                f"{missing[0].uri}: no row group {missing[0].number}; the file is not the committed one"
            )
        return [index_dict[g.uri, g.number] for g in self.row_groups]


class _OrderedReader(reader.Reader):  # type: ignore[misc]
    def _filter_row_groups(
        self,
        dataset: object,
        row_groups: Sequence[Piece],
        predicate: object,
        rowgroup_selector: _Order,
        *_: object,
    ) -> tuple[list[int], None]:
        places = {(piece.path, piece.row_group): i for i, piece in enumerate(row_groups)}
        return rowgroup_selector.select_row_groups(places), None


class _Worker(ArrowReaderWorker):  # type: ignore[misc]
    def process(self, piece_index: int, **_: object) -> None:
        result: object
        try:
            result = self._split_pieces[piece_index].read()
        except BadDataError as error:  # travels in its row group's place, without a traceback on stderr
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


_parquet = types.SimpleNamespace(ParquetDataset=Dataset, ParquetDatasetPiece=Piece)
reader.pq = dataset_metadata.pq = _parquet
reader.Reader = _OrderedReader
reader.ThreadPool = _RoundRobinPool
reader.ArrowReaderWorker = _Worker
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
    """
    uris = list(dict.fromkeys(group.uri for group in row_groups))
    opened = reader.make_batch_reader(
        uris,
        schema_fields=[re.escape(name) for name in columns],
        workers_count=num_threads,
        results_queue_size=2 * num_threads,
        shuffle_row_groups=False,
        rowgroup_selector=_Order(row_groups),
        filesystem=Files(uris, columns, footers),
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
