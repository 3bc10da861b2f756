"""What the adapter promises about petastorm: no other version, no pickle, no folder, no early end."""

from __future__ import annotations

import pickle
import queue
import subprocess
import sys
import types
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_spark.errors import BadDataError
from recsys_spark.training import petastorm_adapter as adapter
from recsys_spark.training.columns import ColumnType
from recsys_spark.training.petastorm_adapter import dataset_metadata

COLUMNS = {"n": ColumnType("int64")}


class Bomb:
    """Creates a file when unpickled, by the means that petastorm's restricted unpickler allows."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


def write(path: Path, numbers: list[int], rows: int = 5) -> str:
    pq.write_table(pa.table({"n": numbers}), path, row_group_size=rows)
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


def test_a_crafted_pickle_in_or_beside_the_data_is_never_opened(tmp_path: Path) -> None:
    mark, part = tmp_path / "unpickled", tmp_path / "part-0.parquet"
    crafted = {
        dataset_metadata.UNISCHEMA_KEY: pickle.dumps(Bomb(mark)),
        dataset_metadata.ROW_GROUPS_PER_FILE_KEY: b'{"part-0.parquet": 1}',
        b"dataset-toolkit.rowgroups_index.v1": pickle.dumps(Bomb(mark)),
    }
    rows = pa.table({"n": [1]}).replace_schema_metadata(crafted)
    for name in ("_common_metadata", "_metadata"):
        pq.write_metadata(rows.schema, tmp_path / name)
    pq.write_table(rows, part)
    for name in ("_common_metadata", "_metadata", part.name):  # petastorm's own loader falls for each
        dataset_metadata.get_schema(types.SimpleNamespace(common_metadata=pq.read_schema(tmp_path / name)))
        mark.unlink()
    assert read([adapter.RowGroup(part.as_uri(), 0, 1)]) == [[1]]
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"PAR1 cut short"])
def test_a_file_that_is_no_parquet_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "part-0.parquet"
    path.write_bytes(content)
    with pytest.raises(BadDataError, match=r"part-0\.parquet: cannot be read"):
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
    pool = adapter._RoundRobinPool(2)
    pool._results_queues = [queue.Queue(), queue.Queue()]
    pool._ventilator = SlowVentilator(pool)
    assert [pool.get_results(), pool.get_results()] == ["first", "second"]
    with pytest.raises(adapter.EmptyResultError):
        pool.get_results()


OTHER_VERSION = """
import importlib.metadata as metadata
known = metadata.version
metadata.version = lambda name: "0.13.2" if name == "petastorm" else known(name)
import recsys_spark.training.petastorm_adapter
"""

MISSING_HOOKS = """
import importlib, sys
from recsys_spark.training import petastorm_names
from petastorm import arrow_reader_worker, reader
from petastorm.etl import dataset_metadata
from petastorm.workers_pool import thread_pool

for owner, names in (
    (reader, "pq Reader ThreadPool ArrowReaderWorker infer_or_load_unischema"),
    (reader.Reader, "_filter_row_groups _create_ventilator"),
    (arrow_reader_worker.ArrowReaderWorker, "process"),
    (dataset_metadata, "pq _split_piece"),
    (thread_pool, "IO_TIMEOUT_INTERVAL_S ThreadPool"),
    (thread_pool.ThreadPool, "get_results stop"),
):
    for name in names.split():
        whole = getattr(owner, name)
        delattr(owner, name)
        try:
            importlib.import_module("recsys_spark.training.petastorm_adapter")
        except ImportError as error:
            if name not in str(error):
                sys.exit(f"{name}: {error}")
        else:
            sys.exit(f"{name}: not missed")
        setattr(owner, name, whole)
importlib.import_module("recsys_spark.training.petastorm_adapter")
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_another_petastorm_is_refused_at_import() -> None:
    ended = python(OTHER_VERSION)
    assert ended.returncode == 1
    assert "ImportError: petastorm 0.13.2: the adapter knows 0.13.1 only" in ended.stderr


def test_a_missing_hook_is_refused_at_import() -> None:
    ended = python(MISSING_HOOKS)
    assert ended.returncode == 0, ended.stderr
