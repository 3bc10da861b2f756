"""Damaged data are one clear error that names file and row group, soon, and leave no thread or file behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import checksums
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_spark.errors import BadDataError
from recsys_spark.training.columns import ColumnType
from recsys_spark.training.petastorm_adapter import RowGroup, read_row_groups

COLUMNS = {"items": ColumnType("int32", 2)}
GROUPS, ROWS = 30, 3
GOOD: list[list[int | None] | None] = [[1, 2], [3, 4], [5, 6]]
THREADS = [1, 2, 10]

Write = Callable[..., str]


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    """Within a second of the test's end, no more threads and open files than before it."""
    before = _held()
    yield
    patience = time.monotonic() + 1
    while _more(_held(), before) and time.monotonic() < patience:
        time.sleep(0.01)
    assert not _more(_held(), before)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes 30 row groups of 3 lists of 2, of which one may be other lists."""

    def one(
        number: int = -1, values: object = None, name: str = "part-0.parquet", element: object = None
    ) -> str:
        kind = pa.list_(element or pa.int32())
        schema = pa.schema([("items", kind)])
        options = checksums.WRITTEN | {"compression": "none", "use_dictionary": False}
        with pq.ParquetWriter(tmp_path / name, schema, **options) as file:
            for i in range(GROUPS):
                lists = pa.array(values if i == number else GOOD, kind)
                file.write_table(pa.table([lists], schema=schema), row_group_size=ROWS)
        return (tmp_path / name).as_uri()

    return one


def read(uri: str, threads: int, footers: dict[str, object] | None = None) -> int:
    """How many row groups come whole before the error."""
    groups = [RowGroup(uri, i, ROWS) for i in range(GROUPS)]
    reading = read_row_groups(groups, COLUMNS, threads, {} if footers is None else footers)
    came = 0
    try:
        for part in reading:
            np.testing.assert_array_equal(part["items"], GOOD)
            came += 1
    except BadDataError as error:
        error.came = came  # type: ignore[attr-defined]
        raise
    return came


def test_without_a_fault_every_row_group_comes(write: Write) -> None:
    assert [read(write(), threads) for threads in THREADS] == [GROUPS] * 3


@pytest.mark.timeout(20)
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2], None, [5, 6]], "null in row 1"),
        ([[1, 2], [3, 4], [5, None]], "null element in row 2"),
        ([[1, 2], [3, 4, 5], [6, 7]], "row 1 has 3 elements"),
        ([[1, 2, 3], [4], [5, 6]], "row 0 has 3 elements"),  # 3 + 1 + 2 flattens like 2 + 2 + 2
    ],
)
def test_a_list_that_breaks_the_contract_is_named(
    write: Write, values: object, message: str, threads: int
) -> None:
    expected = rf"part-0\.parquet row group 17: column items: {message}; expected 2 int32 values"
    with pytest.raises(BadDataError, match=expected) as caught:
        read(write(17, values), threads)
    assert caught.value.came == 17  # type: ignore[attr-defined]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("threads", THREADS)
def test_another_dtype_is_named(write: Write, threads: int) -> None:
    good, other = write(), write(name="part-1.parquet", element=pa.int64())
    groups = [RowGroup(good, 4, ROWS), RowGroup(other, 5, ROWS), RowGroup(good, 6, ROWS)]
    expected = r"part-1\.parquet row group 5: column items: expected list<.*int32>, got list<.*int64>"
    with pytest.raises(BadDataError, match=expected):
        list(read_row_groups(groups, COLUMNS, threads, {}))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("kind", [pa.struct([("a", pa.int32())]), pa.list_(pa.list_(pa.int32()))])
def test_a_type_that_petastorm_does_not_know_is_named(tmp_path: Path, kind: object, threads: int) -> None:
    pq.write_table(pa.table({"items": pa.array([None], kind)}), tmp_path / "part-0.parquet")
    with pytest.raises(BadDataError, match=r"part-0\.parquet row group 0: column items: expected list"):
        list(read_row_groups([RowGroup((tmp_path / "part-0.parquet").as_uri(), 0, 1)], COLUMNS, threads, {}))


@pytest.mark.skipif(not checksums.WRITTEN, reason="pyarrow verifies page checksums from version 15 on")
@pytest.mark.timeout(20)
@pytest.mark.parametrize("threads", THREADS)
def test_a_flipped_bit_in_a_page_is_named(write: Write, tmp_path: Path, threads: int) -> None:
    uri, path = write(), tmp_path / "part-0.parquet"
    column = pq.read_metadata(path).row_group(17).column(0)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size - 6] ^= 1  # within the last list's numbers
    path.write_bytes(content)
    with pytest.raises(
        BadDataError, match=r"part-0\.parquet row group 17: cannot be read: .*(crc|CRC)"
    ) as caught:
        read(uri, threads)
    assert caught.value.came == 17  # type: ignore[attr-defined]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("is_known", [False, True])
def test_a_file_cut_short_is_named(write: Write, tmp_path: Path, threads: int, is_known: bool) -> None:
    uri, path = write(), tmp_path / "part-0.parquet"
    footers: dict[str, object] = {uri: pq.read_metadata(path)} if is_known else {}
    start = pq.read_metadata(path).row_group(17).column(0).data_page_offset
    os.truncate(path, start + 3)
    expected = (
        r"part-0\.parquet row group 17: cannot be read" if is_known else r"part-0\.parquet: cannot be read"
    )
    with pytest.raises(BadDataError, match=expected):
        read(uri, threads, footers)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("is_known", [False, True])
def test_a_missing_file_is_named(write: Write, tmp_path: Path, threads: int, is_known: bool) -> None:
    uri, path = write(), tmp_path / "part-0.parquet"
    footers: dict[str, object] = {uri: pq.read_metadata(path)} if is_known else {}
    path.unlink()
    expected = (
        r"part-0\.parquet row group 0: cannot be read: no such file"
        if is_known
        else r"part-0\.parquet: cannot be read: no such file"
    )
    with pytest.raises(BadDataError, match=expected):
        read(uri, threads, footers)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("taken", [0, 1, 11])
def test_who_stops_early_leaves_nothing_behind(write: Write, threads: int, taken: int) -> None:
    reading = read_row_groups([RowGroup(write(), i, ROWS) for i in range(GROUPS)], COLUMNS, threads, {})
    assert [next(reading)["items"].shape for _ in range(taken)] == [(ROWS, 2)] * taken
    reading.close()  # type: ignore[attr-defined]


@pytest.mark.timeout(20)
def test_a_worker_that_breaks_by_itself_ends_the_reading(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsys_spark.training import petastorm_pieces

    def fail(*_: object) -> None:
        raise MemoryError("no room for a matrix")

    monkeypatch.setattr(petastorm_pieces, "to_numpy", fail)
    with pytest.raises(MemoryError, match="no room"):
        read(write(), 10)


def _more(now: tuple[int, int], before: tuple[int, int]) -> bool:
    """What an earlier test still held may go meanwhile."""
    return any(n > b for n, b in zip(now, before, strict=True))


def _held() -> tuple[int, int]:
    files = Path("/proc/self/fd")
    return threading.active_count(), len(list(files.iterdir())) if files.exists() else 0
