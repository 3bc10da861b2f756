"""Memory for rows by column, used again when nobody holds it: fresh pages cost half as much as filling them."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np

from recsys_spark.training.columns import Array, ColumnType

_KEPT = 3  # the window being filled, the one being learnt from, and one that TensorFlow is about to let go
_ALIGNMENT = 64  # bytes; TensorFlow copies what lies elsewhere


def _references(kept: list[Array], place: int) -> int:
    return sys.getrefcount(kept[place])


_UNUSED = _references([np.empty(1, np.uint8)], 0)  # of memory that only its list has


class Buffers:
    """Gives out rows that are not filled; whoever holds one of their arrays, or a view of it, keeps them."""

    def __init__(self) -> None:
        self._kept: list[Array] = []

    def rows(self, num_rows: int, columns: Mapping[str, ColumnType]) -> dict[str, Array]:
        """`[num_rows]` or `[num_rows, length]` by column, each where TensorFlow takes it without a copy."""
        places, size = [], 0
        for kind in columns.values():
            num_bytes = num_rows * max(kind.length, 1) * np.dtype(kind.dtype).itemsize
            places.append(slice(size, size + num_bytes))
            size += -(-num_bytes // _ALIGNMENT) * _ALIGNMENT
        memory = self._memory(size + _ALIGNMENT)
        aligned = memory[-memory.ctypes.data % _ALIGNMENT :]
        return {
            name: aligned[place].view(kind.dtype).reshape(num_rows, *kind.row_shape)
            for (name, kind), place in zip(columns.items(), places, strict=True)
        }

    def _memory(self, size: int) -> Array:
        for place, held in enumerate([len(memory) for memory in self._kept]):
            if held >= size and _references(self._kept, place) == _UNUSED:
                return self._kept[place]
        made = np.empty(size, np.uint8)
        self._kept = [made, *self._kept[: _KEPT - 1]]
        return made
