"""An epoch is every row of the committed files exactly once, in an order that only the seed decides."""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import replace
from pathlib import Path

import checksums
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_spark.errors import BadDataError, TrainingError
from recsys_spark.tables import DataFile
from recsys_spark.training.columns import ColumnType
from recsys_spark.training.feed import Feed

COLUMNS = {"user_idx": ColumnType("int32"), "items": ColumnType("int32", 3)}
ROWS = 230


def write(folder: Path, name: str, users: range, row_group_rows: int) -> DataFile:
    path = folder / name
    lists = pa.array([[user, user + 1, user + 2] for user in users], pa.list_(pa.int32()))
    rows = pa.table({"user_idx": pa.array(list(users), pa.int32()), "items": lists, "more": lists})
    pq.write_table(rows, path, row_group_size=row_group_rows, **checksums.WRITTEN)
    footer = pq.read_metadata(path)
    groups = tuple(footer.row_group(i).num_rows for i in range(footer.num_row_groups))
    return DataFile(path.as_uri(), groups)


@pytest.fixture
def files(tmp_path: Path) -> list[DataFile]:
    """230 rows in 3 files and 25 row groups, one of them a single row."""
    return [
        write(tmp_path, "part-00000-x.parquet", range(100), 10),
        write(tmp_path, "part-00001-x.parquet", range(100, 101), 10),
        write(tmp_path, "part-00002-x.parquet", range(101, ROWS), 10),
    ]


def feed(files: list[DataFile], seed: int = 1, num_threads: int = 2, window: int = 4) -> Feed:
    return Feed(files, COLUMNS, batch_size=16, seed=seed, window_row_groups=window, num_threads=num_threads)


def users(feed: Feed, epoch: int) -> list[int]:
    return [int(user) for block in feed.blocks(epoch) for user in block["user_idx"]]


def test_every_row_comes_once_and_whole(files: list[DataFile]) -> None:
    blocks = list(feed(files).blocks(0))
    got = np.concatenate([block["user_idx"] for block in blocks])
    assert sorted(got.tolist()) == list(range(ROWS))
    np.testing.assert_array_equal(np.concatenate([b["items"] for b in blocks]), got[:, None] + [0, 1, 2])


def test_many_readings_lose_nothing(files: list[DataFile]) -> None:
    one = feed(files, num_threads=4)
    for epoch in range(25):
        assert len(users(one, epoch)) == ROWS


def test_the_order_does_not_depend_on_threads(files: list[DataFile]) -> None:
    expected = users(feed(files, num_threads=1), 3)
    assert [users(feed(files, num_threads=n), 3) for n in (2, 3, 10)] == [expected] * 3


def test_the_order_does_not_depend_on_how_files_are_listed(files: list[DataFile]) -> None:
    assert users(feed(files[::-1]), 0) == users(feed(files), 0)


def test_epochs_and_seeds_have_orders_of_their_own(files: list[DataFile]) -> None:
    orders = {tuple(users(feed(files, seed), epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


def test_a_batch_depends_on_its_step_alone(files: list[DataFile]) -> None:
    whole = [batch["items"].numpy().tolist() for batch in feed(files).batches(1)]
    for first_step in (0, 1, 4, 9, len(whole) - 1, len(whole)):
        rest = [batch["items"].numpy().tolist() for batch in feed(files).batches(1, first_step)]
        assert rest == whole[first_step:]


def test_a_batch_may_span_many_windows(files: list[DataFile]) -> None:
    wide = Feed(files, COLUMNS, batch_size=75, seed=1, window_row_groups=1)
    sizes = [len(batch["user_idx"]) for batch in wide.batches(0)]
    assert sizes == [75, 75, 75, 5]
    assert sorted(np.concatenate([b["user_idx"].numpy() for b in wide.batches(0)]).tolist()) == list(
        range(ROWS)
    )


@pytest.mark.parametrize("num_workers", [2, 3, 7])
def test_workers_share_an_epoch_in_equally_many_steps(files: list[DataFile], num_workers: int) -> None:
    left_out = set()
    for epoch in range(3):
        shares = [
            users(replace(feed(files), worker=worker, num_workers=num_workers), epoch)
            for worker in range(num_workers)
        ]
        assert {len(share) for share in shares} == {ROWS // num_workers}
        together = [user for share in shares for user in share]
        assert len(set(together)) == len(together) == ROWS - ROWS % num_workers
        left_out.add(frozenset(set(range(ROWS)) - set(together)))
    assert len(left_out) > 1 or ROWS % num_workers == 0


def label_files(folder: Path, labels: np.ndarray, group_rows: int = 100) -> list[DataFile]:
    rows = pa.table({"user_idx": pa.array(labels, pa.int32())})
    pq.write_table(rows, folder / "part-0.parquet", row_group_size=group_rows)
    return [DataFile((folder / "part-0.parquet").as_uri(), (group_rows,) * (len(labels) // group_rows))]


@pytest.mark.parametrize("kind", ["rare", "even", "many"])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_batches_are_as_mixed_as_after_a_full_shuffle(tmp_path: Path, kind: str, is_sorted: bool) -> None:
    random = np.random.default_rng(5)
    labels = {
        "rare": random.random(20_000) < 0.05,
        "even": random.random(20_000) < 0.5,
        "many": random.integers(0, 1000, 20_000),
    }[kind].astype(np.int32)
    files = label_files(tmp_path, np.sort(labels) if is_sorted else labels)
    one = Feed(files, {"user_idx": ColumnType("int32")}, batch_size=100, seed=1, window_row_groups=64)
    ours = [b["user_idx"].numpy().mean() for epoch in range(10) for b in one.batches(epoch)]
    full = [random.permutation(labels).reshape(-1, 100).mean(axis=1) for _ in range(10)]
    assert np.var(ours) / np.var(full) < 1.2


def test_rows_of_a_window_are_mixed(files: list[DataFile]) -> None:
    [block] = feed(files, window=100).blocks(0)
    neighbours = np.abs(np.diff(block["user_idx"])) == 1
    assert neighbours.mean() < 0.1


def test_batches_are_full_but_the_last(files: list[DataFile]) -> None:
    sizes = [int(batch["user_idx"].shape[0]) for batch in feed(files).batches(0)]
    assert sizes == [16] * 14 + [6]
    assert sum(1 for _ in feed(files).batches(0, drop_remainder=True)) == 14


def test_blocks_hold_whole_batches_and_batches_carry_their_rows_in_order(files: list[DataFile]) -> None:
    *whole, last = [len(block["user_idx"]) for block in feed(files).blocks(2)]
    assert len(whole) > 3 and {size % 16 for size in whole} == {0}
    assert last % 16 == ROWS % 16
    got = np.concatenate([batch["user_idx"].numpy() for batch in feed(files).batches(2)])
    assert got.tolist() == users(feed(files), 2)


def test_a_batch_that_is_kept_never_changes(files: list[DataFile]) -> None:
    """Memory is used again: only when nobody holds rows of it."""
    one = feed(files, window=1)
    kept = [batch for epoch in range(3) for batch in one.batches(epoch)]
    copies = [
        {name: tensor.numpy().copy() for name, tensor in batch.items()}
        for epoch in range(3)
        for batch in feed(files, window=1).batches(epoch)
    ]
    for _ in range(3):
        list(one.batches(9))
    for batch, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(batch["items"].numpy(), copy["items"])


def test_a_table_without_rows_has_no_batches(tmp_path: Path) -> None:
    empty = [write(tmp_path, "part-0.parquet", range(0), 10)]
    assert list(feed(empty).batches(0)) == []
    assert feed(empty).num_rows == 0


def test_threads_end_when_the_reader_stops_early(files: list[DataFile]) -> None:
    before = set(threading.enumerate())
    blocks = feed(files).blocks(0)
    next(blocks)
    assert set(threading.enumerate()) - before
    blocks.close()  # type: ignore[attr-defined]
    assert not set(threading.enumerate()) - before


def test_threads_end_when_training_stops_early(files: list[DataFile]) -> None:
    batches = feed(files).batches(0)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    del batches
    gc.collect()  # TensorFlow's iterator goes with its last reference
    reading = {thread for thread in threading.enumerate() if "petastorm" in type(thread).__module__}
    deadline = time.monotonic() + 10
    while any(thread.is_alive() for thread in reading) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(thread.is_alive() for thread in reading)


def test_a_fault_comes_through_tensorflow_as_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "part-0.parquet"
    good, bad = [[1, 2, 3]] * 10, [[1, 2]]
    pq.write_table(
        pa.table(
            {"user_idx": pa.array(range(11), pa.int32()), "items": pa.array(good + bad, pa.list_(pa.int32()))}
        ),
        path,
        row_group_size=10,
    )
    with pytest.raises(
        BadDataError, match=r"part-0\.parquet row group 1: column items: row 0 has 2 elements"
    ):
        list(feed([DataFile(path.as_uri(), (10, 1))]).batches(0))


def test_a_file_with_fewer_rows_than_committed_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, "part-0.parquet", range(20), 10)
    with pytest.raises(BadDataError, match="row group 1: expected 11 rows, got 10"):
        users(feed([DataFile(file.uri, (10, 11))]), 0)


def test_rows_lost_on_the_way_fail_the_epoch(files: list[DataFile], monkeypatch: pytest.MonkeyPatch) -> None:
    from recsys_spark.training import petastorm_adapter

    whole = petastorm_adapter.read_row_groups
    monkeypatch.setattr(petastorm_adapter, "read_row_groups", lambda groups, *rest: whole(groups[:-1], *rest))
    with pytest.raises(TrainingError, match="epoch 0: window 5 has 40 rows, 30 came"):
        users(feed(files), 0)


def test_the_content_hash_sees_rows_and_not_names(files: list[DataFile], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    same = [
        write(other, "part-00000-y.parquet", range(100), 10),
        write(other, "part-00001-y.parquet", range(100, ROWS), 50),
    ]
    changed = [*same[:1], write(other, "part-00001-z.parquet", range(101, ROWS + 1), 10)]
    expected = feed(files[:1] + files[1:]).content_hash()
    assert feed(files[::-1]).content_hash() == expected
    assert feed(changed).content_hash() != expected
