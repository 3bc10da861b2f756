"""An epoch of a table's rows as tf.data batches: every row once, in an order that a seed decides.

A batch is a function of (files, seed, epoch, step) and, with several workers, of the worker. The order
of the row groups stands in `training.order`; they are read through petastorm, a window of them at a
time, whose rows go straight to their places in one permutation keyed by (seed, epoch, window). What does
not fill a batch comes first in the next block. The batches are the same for any number of threads.
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
from recsys_spark.training.columns import Array, ColumnType, put
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
        window_row_groups: row groups whose rows are mixed with each other; up to four times as many are in
            memory: three windows, and what the threads have read ahead.
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

        def blocks() -> Iterator[Rows]:
            try:
                yield from self.blocks(epoch, first_step)
            except RecsysError as error:
                faults.append(error)
                raise

        signature = {
            name: tf.TensorSpec((None, *kind.row_shape), kind.dtype) for name, kind in self.columns.items()
        }
        # A block ahead: its rows are read while those of the one before are learnt.
        rows = tf.data.Dataset.from_generator(blocks, output_signature=signature).prefetch(1)
        options = tf.data.Options()
        options.autotune.enabled = False  # nothing to tune, and its pauses double an epoch's seconds
        try:
            yield from rows.rebatch(self.batch_size, drop_remainder).with_options(options)
        except tf.errors.OpError:
            if faults:
                raise faults[0] from None
            raise

    def blocks(self, epoch: int, first_step: int = 0) -> Iterator[Rows]:
        """The epoch's rows in their order, a window at a time; each block but the last holds whole batches.

        What a window leaves over comes first in the next block.

        Raises:
            BadDataError, TrainingError: as `batches`.
        """
        groups = self._row_groups()
        windows = self._windows(groups, epoch)
        sizes = [order.num_rows(window) for window in windows]
        ends = [int(end) for end in np.cumsum(sizes)]
        first_row = first_step * self.batch_size
        first_window = int(np.searchsorted(ends, first_row, side="right"))
        reading = self._read([groups[part.group] for window in windows[first_window:] for part in window])
        left: Rows = {}
        try:
            for number in range(first_window, len(windows)):
                begin = ends[number] - sizes[number]
                started = begin % self.batch_size  # rows of the batch under way that the windows before have
                rows = {
                    name: np.empty((started + sizes[number], *kind.row_shape), kind.dtype)
                    for name, kind in self.columns.items()
                }
                for name, array in left.items():
                    rows[name][:started] = array
                places = started + order.places(sizes[number], self.seed, epoch, self.worker, number)
                done = 0
                for part, arrays in zip(windows[number], reading, strict=False):
                    num = part.stop - part.start
                    for name, array in arrays.items():
                        put(rows[name], places[done : done + num], array[part.start : part.stop])
                    done += num
                if done != sizes[number]:
                    raise TrainingError(
                        f"epoch {epoch}: window {number} has {sizes[number]} rows, {done} came"
                    )
                stop = started + sizes[number]
                if number + 1 < len(windows):
                    stop -= stop % self.batch_size
                skipped = max(first_row - (begin - started), 0)
                if skipped < stop:
                    yield {name: array[skipped:stop] for name, array in rows.items()}
                left = {name: array[stop:] for name, array in rows.items()}
        finally:
            reading.close()

    def content_hash(self) -> str:
        """sha256 of all rows in the files' order: equal for equal data, whatever the files are called."""
        digest = hashlib.sha256()
        for part in self._read(self._row_groups()):
            for name in sorted(part):
                digest.update(np.ascontiguousarray(part[name]).tobytes())
        return digest.hexdigest()

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
