"""An epoch of a table's rows as tf.data batches: every row once, in an order that a seed decides.

Row groups are permuted by (seed, epoch) and read through petastorm. The rows of `window_row_groups`
of them are mixed by a permutation keyed by (seed, epoch, window) and cut into batches; what does not
fill a batch is carried into the next window. The batches are the same for any number of threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_spark.errors import RecsysError, TrainingError
from recsys_spark.tables import DataFile
from recsys_spark.training.columns import Array, ColumnType, stacked

if TYPE_CHECKING:
    from recsys_spark.training.petastorm_adapter import RowGroup


@dataclass
class Feed:
    """What to read, and how the rows are mixed and cut into batches.

    Attributes:
        files: the committed files; their order is made independent of how they were listed.
        columns: by name, what each must hold.
        window_row_groups: row groups whose rows are mixed with each other and held in memory.
        num_threads: row groups read at a time; changes no batch.
    """

    files: Sequence[DataFile]
    columns: Mapping[str, ColumnType]
    batch_size: int
    seed: int
    window_row_groups: int = 8
    num_threads: int = 2
    _footers: dict[str, Any] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """Rows of the table, and so of an epoch."""
        return sum(file.num_rows for file in self.files)

    def batches(self, epoch: int, *, drop_remainder: bool = False) -> Iterator[dict[str, Any]]:
        """Tensors of exactly `batch_size` rows by column; the last batch holds the rest, or is dropped.

        Raises:
            BadDataError, TrainingError: as `windows`.
        """
        import tensorflow as tf

        faults: list[RecsysError] = []  # tf.data would wrap them in an error of its own

        def windows() -> Iterator[dict[str, Array]]:
            try:
                yield from self.windows(epoch)
            except RecsysError as error:
                faults.append(error)
                raise

        signature = {
            name: tf.TensorSpec((None, *kind.row_shape), kind.dtype) for name, kind in self.columns.items()
        }
        rows = tf.data.Dataset.from_generator(windows, output_signature=signature)
        try:
            yield from rows.rebatch(self.batch_size, drop_remainder=drop_remainder).prefetch(2)
        except tf.errors.OpError:
            if faults:
                raise faults[0] from None
            raise

    def windows(self, epoch: int) -> Iterator[dict[str, Array]]:
        """The epoch's rows, mixed, one window at a time.

        Raises:
            BadDataError: a file cannot be read or breaks `columns`.
            TrainingError: not every row of the table came.
        """
        delivered = 0
        groups = self._row_groups()
        order = np.random.default_rng([self.seed, epoch]).permutation(len(groups))
        reading = self._read([groups[i] for i in order])
        try:
            for window, parts in enumerate(_chunks(reading, self.window_row_groups)):
                num_rows = sum(len(next(iter(part.values()))) for part in parts)
                mixing = np.random.default_rng([self.seed, epoch, window]).permutation(num_rows)
                delivered += num_rows
                yield stacked(parts, mixing)
        finally:
            reading.close()
        if delivered != self.num_rows:
            raise TrainingError(f"epoch {epoch}: {delivered} rows delivered, the table holds {self.num_rows}")

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

    def _read(self, groups: Sequence[RowGroup]) -> Generator[dict[str, Array], None, None]:
        from recsys_spark.training.petastorm_adapter import read_row_groups

        if groups:
            yield from read_row_groups(groups, self.columns, self.num_threads, self._footers)


def _chunks(parts: Iterator[dict[str, Array]], size: int) -> Iterator[list[dict[str, Array]]]:
    chunk: list[dict[str, Array]] = []
    for part in parts:
        chunk.append(part)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
