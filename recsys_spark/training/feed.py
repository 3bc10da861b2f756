"""An epoch of a table's rows as tf.data batches: every row once, in an order that a seed decides.

A batch is a function of (files, seed, epoch, step) and, with several workers, of the worker. The order
of the row groups stands in `training.order`; they are read through petastorm, a window of them at a
time, whose rows go straight to their places in one permutation keyed by (seed, epoch, window). What does
not fill a batch comes first in the next one. The batches are the same for any number of threads.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_spark.errors import RecsysError, TrainingError
from recsys_spark.tables import DataFile
from recsys_spark.training import order
from recsys_spark.training.columns import Array, ColumnType, empty, put
from recsys_spark.training.order import Part

if TYPE_CHECKING:
    from recsys_spark.training.petastorm_adapter import RowGroup

Rows = dict[str, Array]


@dataclass
class Feed:
    """What to read, and how the rows are mixed and cut into batches.

    Attributes:
        files: the committed files; their order is made independent of how they were listed.
        columns: by name, what each must hold.
        window_row_groups: row groups whose rows are mixed with each other; twice as many are in memory.
        num_threads: row groups read at a time; changes no batch.
        worker, num_workers: which share of each epoch this process takes.
    """

    files: Sequence[DataFile]
    columns: Mapping[str, ColumnType]
    batch_size: int
    seed: int
    window_row_groups: int = 32
    num_threads: int = 2
    worker: int = 0
    num_workers: int = 1
    _footers: dict[str, Any] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """Rows of the table."""
        return sum(file.num_rows for file in self.files)

    @property
    def rows_per_epoch(self) -> int:
        """Rows that this worker takes in an epoch, the same for each worker."""
        return self.num_rows // self.num_workers

    @property
    def num_steps(self) -> int:
        """Batches of an epoch, the last of them perhaps smaller."""
        return math.ceil(self.rows_per_epoch / self.batch_size)

    def batches(self, epoch: int, first_step: int = 0, *, drop_remainder: bool = False) -> Iterator[Any]:
        """Tensors of exactly `batch_size` rows by column; the last batch holds the rest, or is dropped.

        Args:
            first_step: batches before it are left out, and the windows before it not read.

        Raises:
            BadDataError: a file cannot be read or breaks `columns`; raised, never waited for.
            TrainingError: not every row came.
        """
        import tensorflow as tf

        faults: list[RecsysError] = []  # tf.data would wrap them in an error of its own

        def cut() -> Iterator[Rows]:
            try:
                yield from self._cut(epoch, first_step, drop_remainder)
            except RecsysError as error:
                faults.append(error)
                raise

        signature = {
            name: tf.TensorSpec((None, *kind.row_shape), kind.dtype) for name, kind in self.columns.items()
        }
        # A window ahead: its rows are read while those of the one before are learnt.
        ahead = self.window_row_groups * max(
            (max(f.row_group_rows, default=0) for f in self.files), default=0
        )
        rows = tf.data.Dataset.from_generator(cut, output_signature=signature)
        options = tf.data.Options()
        options.autotune.enabled = False  # nothing to tune, and its pauses double an epoch's seconds
        try:
            yield from rows.prefetch(2 + ahead // self.batch_size).with_options(options)
        except tf.errors.OpError:
            if faults:
                raise faults[0] from None
            raise

    def windows(self, epoch: int, first_window: int = 0) -> Iterator[Rows]:
        """The rows of each window, mixed, in memory that TensorFlow takes over without a copy.

        Raises:
            BadDataError, TrainingError: as `batches`.
        """
        groups = self._row_groups()
        windows = self._windows(groups, epoch)[first_window:]
        reading = self._read([groups[part.group] for window in windows for part in window])
        try:
            for number, window in enumerate(windows, first_window):
                places = order.places(order.num_rows(window), self.seed, epoch, self.worker, number)
                rows = {name: empty(len(places), kind) for name, kind in self.columns.items()}
                done = 0
                for part, arrays in zip(window, reading, strict=False):
                    num = part.stop - part.start
                    for name, array in arrays.items():
                        put(rows[name], places[done : done + num], array[part.start : part.stop])
                    done += num
                if done != len(places):
                    raise TrainingError(f"epoch {epoch}: window {number} has {len(places)} rows, {done} came")
                yield rows
        finally:
            reading.close()

    def content_hash(self) -> str:
        """sha256 of all rows in the files' order: equal for equal data, whatever the files are called."""
        digest = hashlib.sha256()
        for part in self._read(self._row_groups()):
            for name in sorted(part):
                digest.update(np.ascontiguousarray(part[name]).tobytes())
        return digest.hexdigest()

    def _cut(self, epoch: int, first_step: int, drop_remainder: bool) -> Iterator[Rows]:
        """The windows as batches; a batch that spans two of them is the only one that is copied."""
        sizes = [order.num_rows(window) for window in self._windows(self._row_groups(), epoch)]
        ends = np.cumsum(sizes)
        first_row = first_step * self.batch_size
        first_window = int(np.searchsorted(ends, first_row, side="right"))
        start = first_row - int(ends[first_window - 1] if first_window else 0)
        left: Rows = {}
        for rows in self.windows(epoch, first_window):
            num = len(next(iter(rows.values())))
            if left:
                missing = self.batch_size - len(next(iter(left.values())))
                left = {name: np.concatenate([left[name], rows[name][:missing]]) for name in rows}
                start = missing
                if num < missing:
                    continue
                yield left
            stop = start + (num - start) // self.batch_size * self.batch_size
            for at in range(start, stop, self.batch_size):
                yield {name: array[at : at + self.batch_size] for name, array in rows.items()}
            left = {name: array[stop:] for name, array in rows.items()} if stop < num else {}
            start = 0
        if left and not drop_remainder:
            yield left

    def _row_groups(self) -> list[RowGroup]:
        from recsys_spark.training.petastorm_adapter import RowGroup

        # Spark's part number comes first in a file's name; folders may name the attempt.
        files = sorted(self.files, key=lambda file: PurePosixPath(file.uri).name)
        return [RowGroup(f.uri, i, rows) for f in files for i, rows in enumerate(f.row_group_rows) if rows]

    def _windows(self, groups: Sequence[RowGroup], epoch: int) -> list[list[Part]]:
        sizes = [group.num_rows for group in groups]
        return order.epoch_windows(
            sizes, self.window_row_groups, self.seed, epoch, self.worker, self.num_workers
        )

    def _read(self, groups: Sequence[RowGroup]) -> Generator[Rows, None, None]:
        from recsys_spark.training.petastorm_adapter import read_row_groups

        if groups:
            yield from read_row_groups(groups, self.columns, self.num_threads, self._footers)
