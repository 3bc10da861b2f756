"""What the adapter promises about petastorm: no pickle, no folder, checksums, clear faults."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_spark.errors import BadDataError
from recsys_spark.training import petastorm_adapter as adapter
from recsys_spark.training.columns import ColumnType

COLUMNS = {"n": ColumnType("int64")}


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("a schema was unpickled out of the data",)


def write(path: Path, numbers: list[int], rows: int = 5) -> str:
    pq.write_table(
        pa.table({"n": numbers}), path, row_group_size=rows, write_page_checksum=True, compression="none",
        use_dictionary=False,
    )  # fmt: skip
    return path.as_uri()


def read(groups: list[adapter.RowGroup]) -> list[list[int]]:
    return [part["n"].tolist() for part in adapter.read_row_groups(groups, COLUMNS, 2, {})]


def test_row_groups_come_in_the_order_asked_for(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.parquet", [1, 2, 3], 1), write(tmp_path / "b.parquet", [4, 5], 1)
    order = [adapter.RowGroup(b, 1, 1), adapter.RowGroup(a, 2, 1), adapter.RowGroup(a, 0, 1)]
    assert read(order) == [[5], [3], [1]]


def test_only_the_files_named_are_read(tmp_path: Path) -> None:
    write(tmp_path / "part-0-of-a-dead-attempt.parquet", [9])
    live = write(tmp_path / "part-1.parquet", [1])
    assert read([adapter.RowGroup(live, 0, 1)]) == [[1]]


def test_a_crafted_common_metadata_is_never_unpickled(tmp_path: Path) -> None:
    live = write(tmp_path / "part-0.parquet", [1])
    schema = pa.schema([("n", pa.int64())], metadata={b"dataset-toolkit.unischema.v1": pickle.dumps(Bomb())})
    pq.write_metadata(schema, tmp_path / "_common_metadata")
    pq.write_metadata(schema, tmp_path / "_metadata")
    assert read([adapter.RowGroup(live, 0, 1)]) == [[1]]


def test_a_flipped_bit_fails_its_checksum(tmp_path: Path) -> None:
    live = write(tmp_path / "part-0.parquet", [7] * 5)
    content = bytearray((tmp_path / "part-0.parquet").read_bytes())
    content[content.index((7).to_bytes(8, "little") * 5) + 8] ^= 1
    (tmp_path / "part-0.parquet").write_bytes(content)
    with pytest.raises(BadDataError, match=r"part-0\.parquet row group 0: cannot be read"):
        read([adapter.RowGroup(live, 0, 5)])


@pytest.mark.parametrize("content", [None, b"", b"PAR1 cut short"])
def test_a_missing_or_broken_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "part-0.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadDataError, match=r"part-0\.parquet.*cannot be read"):
        read([adapter.RowGroup(path.as_uri(), 0, 5)])


def test_a_row_group_that_is_not_there_is_refused(tmp_path: Path) -> None:
    live = write(tmp_path / "part-0.parquet", [1])
    with pytest.raises(BadDataError, match="no row group 3"):
        read([adapter.RowGroup(live, 3, 1)])


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    live = write(tmp_path / "part-0.parquet", [1])
    columns = {"n": ColumnType("int64"), "m": ColumnType("int64")}
    with pytest.raises(BadDataError, match="no column m"):
        list(adapter.read_row_groups([adapter.RowGroup(live, 0, 1)], columns, 1, {}))


class SlowVentilator:
    """Hands out work only after the consumer has already found nothing to do: the stock pool's race."""

    def __init__(self, pool: adapter._RoundRobinPool) -> None:
        self.pool, self.waited, self.done = pool, 0, False

    def completed(self) -> bool:
        if not self.done and self.waited == 2:
            for worker, result in enumerate(["first", "second"]):
                self.pool._ventilated_items += 1
                self.pool._results_queues[worker].put(result)
                self.pool._results_queues[worker].put(adapter.VentilatedItemProcessedMessage())
            self.done = True
        self.waited += 1
        return self.done

    def processed_item(self) -> None:
        pass


def test_the_pool_does_not_end_before_the_ventilator_has() -> None:
    import queue

    pool = adapter._RoundRobinPool(2)
    pool._results_queues = [queue.Queue(), queue.Queue()]
    pool._ventilator = SlowVentilator(pool)
    assert [pool.get_results(), pool.get_results()] == ["first", "second"]
    with pytest.raises(adapter.EmptyResultError):
        pool.get_results()
