"""NDCG on validation users: the right users, their seen items left out, unless repeats are allowed."""

from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_spark.errors import BadDataError, TrainingError
from recsys_spark.tables import DataFile
from recsys_spark.training.columns import ColumnType
from recsys_spark.training.validation import Validation, load

V = 14
COLUMNS = {"items": ColumnType("int32", 2)}
INTS = pa.list_(pa.int32())
# By bias alone item 2 is the best, then 3, 4, ...
BY_BIAS = np.stack([np.zeros(V), 10.0 - np.arange(V)], axis=1).astype(np.float32)
TRAINED = np.arange(V) >= 2


def file(path: Path, users: list[int], items: list[list[int]]) -> DataFile:
    rows = pa.table({"user_idx": pa.array(users, pa.int32()), "items": pa.array(items, INTS)})
    pq.write_table(rows, path)
    return DataFile(path.as_uri(), (len(users),))


def truth(users: list[int], items: list[list[int]]) -> pa.Table:
    return pa.table({"user_idx": pa.array(users, pa.int32()), "items": pa.array(items, INTS)})


def loaded(
    folder: Path, asked: pa.Table, max_users: int = 10, repeats_allowed: bool = False, seed: int = 1
) -> Validation:
    users = [7, 5, 6, 9]
    histories = file(folder / "histories.parquet", users, [[0, 2], [0, 3], [2, 3], [2, 99]])
    seen = file(folder / "seen.parquet", users, [[2], [3], [2, 3], [2, 99]])
    return load(asked, [histories], [seen], COLUMNS, V, max_users, repeats_allowed, seed)


def ndcg(users: Validation) -> float:
    return users.ndcg(lambda rows: np.ones((len(rows["items"]), 2), np.float32), BY_BIAS, TRAINED)


def test_seen_items_are_left_out_and_the_rest_ranked(tmp_path: Path) -> None:
    # User 5 has seen 3: 2 is first. User 6 has seen 2 and 3: 5 is second, after 4.
    assert ndcg(loaded(tmp_path, truth([6, 5], [[5], [2]]))) == pytest.approx((1 + 1 / np.log2(3)) / 2)


def test_repeats_let_a_seen_item_be_ranked(tmp_path: Path) -> None:
    asked = truth([7], [[2]])
    assert ndcg(loaded(tmp_path, asked)) == 0
    assert ndcg(loaded(tmp_path, asked, repeats_allowed=True)) == 1


def test_users_are_read_from_what_only_fsspec_knows_and_a_missing_file_is_named(tmp_path: Path) -> None:
    local, there = tmp_path / "histories.parquet", "memory://lake/histories.parquet"
    file(local, [7], [[0, 2]])
    with fsspec.open(there, "wb") as copy:
        copy.write(local.read_bytes())
    arguments = ([], COLUMNS, V, 10, True, 1)
    users = load(truth([7], [[2]]), [DataFile(there, (1,))], *arguments)
    assert users.histories["items"].tolist() == [[0, 2]]
    with pytest.raises(BadDataError, match=r"memory://lake/gone\.parquet: cannot be read: no such file"):
        load(truth([7], [[2]]), [DataFile("memory://lake/gone.parquet", (1,))], *arguments)


def test_an_item_never_trained_on_is_asked_for_and_never_found(tmp_path: Path) -> None:
    expected = 1 / (1 + 1 / np.log2(3))
    assert ndcg(loaded(tmp_path, truth([5], [[2, 50]]))) == pytest.approx(expected)


def test_histories_come_by_user_and_later_items_are_unknown(tmp_path: Path) -> None:
    users = loaded(tmp_path, truth([9, 5, 7], [[4], [4], [4]]))
    np.testing.assert_array_equal(users.histories["items"], [[0, 3], [0, 2], [2, 1]])


def test_users_are_sampled_by_hash_whatever_their_order(tmp_path: Path) -> None:
    users, items = [5, 6, 7, 9], [[4]] * 4
    one = loaded(tmp_path, truth(users, items), max_users=2)
    other = loaded(tmp_path, truth(users[::-1], items), max_users=2)
    assert one.num_users == 2
    np.testing.assert_array_equal(one.histories["items"], other.histories["items"])
    samples = {
        loaded(tmp_path, truth(users, items), 2, seed=s).histories["items"].tobytes() for s in range(8)
    }
    assert len(samples) > 1


def test_users_whose_events_are_all_too_old_for_a_history_are_left_out(tmp_path: Path) -> None:
    assert loaded(tmp_path, truth([5, 8], [[2], [2]])).num_users == 1


def test_nobody_with_a_history_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"none for any user of truth; raise features\.history_days"):
        loaded(tmp_path, truth([8], [[2]]))


def test_many_users_are_judged_in_blocks_of_one_shape(tmp_path: Path) -> None:
    shapes = set()

    def encode(rows: dict[str, np.ndarray]) -> np.ndarray:
        shapes.add(rows["items"].shape)
        return np.ones((len(rows["items"]), 2), np.float32)

    num = 600
    everyone = np.arange(num)
    none = (np.empty(0, np.int64), np.empty(0, np.int64))
    users = Validation({"items": np.ones((num, 2), np.int32)}, (everyone, np.full(num, 3)), none, everyone)
    assert users.ndcg(encode, BY_BIAS, TRAINED) == pytest.approx(1 / np.log2(3))
    assert shapes == {(256, 2)}
