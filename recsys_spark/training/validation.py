"""NDCG@10 on the validation users: what decides how many epochs are trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys_spark.errors import TrainingError
from recsys_spark.ranking.metrics import hits_of, ndcg_at_k
from recsys_spark.ranking.orders import hashed
from recsys_spark.ranking.top_n import candidates, top_n
from recsys_spark.tables import UNKNOWN, DataFile
from recsys_spark.training.columns import Array, ColumnType, to_numpy
from recsys_spark.training.files import VERIFIED, located, named

K = 10
BATCH_USERS = 256

Encode = Callable[[Mapping[str, Array]], npt.NDArray[np.float32]]
Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Validation:
    """Users with their histories [U, L] and, as (user's row, item) pairs, what they chose and had seen."""

    histories: dict[str, Array]
    truth: Pairs
    seen: Pairs
    user_idx: Array

    @property
    def num_users(self) -> int:
        """U."""
        return len(self.histories["items"])

    def ndcg(
        self, encode: Encode, item_vectors: npt.NDArray[np.float32], is_trained: npt.NDArray[np.bool_]
    ) -> float:
        """Mean NDCG@10 over the users; all trained items are ranked, seen ones left out.

        Args:
            encode: histories [B, L] to user vectors [B, D + 1]; always given 256 rows.
            item_vectors: [V, D + 1].
            is_trained: [V].
        """
        items = candidates(item_vectors, is_trained)
        total = 0.0
        for start in range(0, self.num_users, BATCH_USERS):
            block = {name: rows[start : start + BATCH_USERS] for name, rows in self.histories.items()}
            used = len(block["items"])
            full = {name: np.pad(rows, ((0, BATCH_USERS - used), (0, 0))) for name, rows in block.items()}
            vectors = encode(full)
            seen, truth = within(self.seen, start, used), within(self.truth, start, used)
            best = top_n(vectors, items, K, seen)
            total += float(ndcg_of(best.item_idx[:used], truth).sum())
        return total / self.num_users


def ndcg_of(item_idx: Array, truth: Pairs) -> Array:
    """NDCG@10 [B] of lists [B, K], 0 pads, and what the users took."""
    num_truth = np.bincount(truth[0], minlength=len(item_idx))
    return ndcg_at_k(hits_of(item_idx, truth[1], num_truth), num_truth, K)


def load(
    truth: pa.Table,
    histories: Sequence[DataFile],
    seen: Sequence[DataFile],
    columns: Mapping[str, ColumnType],
    num_items: int,
    max_users: int,
    repeats_allowed: bool,
    seed: int,
) -> Validation:
    """Choose at most `max_users` users of `truth` by a hash of their number, and read what they need.

    Users whose every event is older than `history_days` have no history: their lists come from
    popularity, and they say nothing about the model.

    Args:
        truth: rows of TRUTH, cut valid.
        histories: files of HISTORIES, cut valid.
        seen: files of SEEN_ITEMS, cut valid.
        columns: the history columns the model reads.
        num_items: V; an item numbered after training counts as unknown.
        repeats_allowed: true: what was seen may be recommended.

    Raises:
        BadDataError: a file breaks its contract.
        TrainingError: no chosen user has a history.
    """
    users = truth["user_idx"].to_numpy()
    users = np.sort(users[np.argsort(hashed(users, seed + 1), kind="stable")][:max_users])
    rows = rows_of(histories, ["user_idx", *columns], users)
    users = rows["user_idx"].to_numpy()
    if not len(users):
        raise TrainingError(
            "histories, cut valid: none for any user of truth; raise features.history_days above the age of "
            "the events, or run build_features again"
        )
    matrices = {name: to_numpy(rows, name, kind, "histories, cut valid") for name, kind in columns.items()}
    matrices["items"] = np.where(matrices["items"] < num_items, matrices["items"], UNKNOWN)
    nothing = (np.empty(0, np.int64), np.empty(0, np.int64))
    left_out = nothing if repeats_allowed else _pairs(rows_of(seen, ["user_idx", "items"], users), users)
    truth_pairs = _pairs(truth.filter(pc.is_in(truth["user_idx"], pa.array(users))), users)
    return Validation(matrices, truth_pairs, left_out, users)


def rows_of(files: Sequence[DataFile], columns: list[str], users: Array) -> pa.Table:
    """The rows of these users, ordered by user."""
    wanted = pc.field("user_idx").isin(pa.array(users))
    parts = []
    for file in files:
        with named(file.uri):
            filesystem, path = located(file.uri)
            parts.append(
                pq.read_table(
                    path, filesystem=filesystem, columns=columns, filters=wanted, partitioning=None, **VERIFIED
                )
            )  # fmt: skip
    return pa.concat_tables(parts).combine_chunks().sort_by("user_idx")


def _pairs(rows: pa.Table, users: Array) -> Pairs:
    """(row of the user in `users`, item) for every element of the lists `items`."""
    lists = rows["items"].combine_chunks()
    row = np.searchsorted(users, rows["user_idx"].to_numpy())
    items = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    rows_of_items = np.repeat(row, pc.list_value_length(lists).to_numpy(zero_copy_only=False)).astype(
        np.int64
    )
    order = np.argsort(rows_of_items, kind="stable")
    return rows_of_items[order], items[order]


def within(pairs: Pairs, start: int, num: int) -> Pairs:
    """The pairs of some users, numbered from the first of them."""
    first, last = np.searchsorted(pairs[0], [start, start + num])
    return pairs[0][first:last] - start, pairs[1][first:last]
