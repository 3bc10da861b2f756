"""The hash of the first numbers of an index and their ids: what ties a model to its item numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pyarrow as pa

_HEX_DIGITS = 15


def ids_of(index: pa.Table) -> list[tuple[int, str]]:
    """The pairs (item_idx, item_id) of ITEM_INDEX."""
    return list(zip(index["item_idx"].to_pylist(), index["item_id"].to_pylist(), strict=True))


def prefix_hash(ids: Iterable[tuple[int, str]], num: int) -> str:
    """A hash of every (number, id) with a number below `num`, in any order."""
    count = first = second = 0
    for idx, id_ in ids:
        if idx < num:
            row = hashlib.sha256(f"{idx} {id_}".encode()).hexdigest()
            first += int(row[:_HEX_DIGITS], 16)
            second += int(row[_HEX_DIGITS : 2 * _HEX_DIGITS], 16)
            count += 1
    return hashlib.sha256(f"{count} {first} {second}".encode()).hexdigest()
