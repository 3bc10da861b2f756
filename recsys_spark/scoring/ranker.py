"""Lists for a batch of users: encode, rank by the model, fill up by popularity. NumPy and Arrow only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_spark.ranking.top_n import Candidates, Lists, candidates, top_n
from recsys_spark.scoring import columns
from recsys_spark.scoring.catalogue import POPULARITY, Catalogue
from recsys_spark.scoring.known_models import LoadedModel

TOO_FEW = "too_few_candidates"
UNKNOWN = 1
HISTORY = ("items", "types", "values", "gaps", "weights")

Array = NDArray[Any]


@dataclass(frozen=True)
class Ranker:
    """Everything about the items and the model, packed once; `lists` is then called batch after batch.

    Attributes:
        model: None when popularity alone fills the lists.
        trained: the model's candidates, None without a model.
        num_items: N, places in a list.
        batch_users: B, the one shape in which users are encoded; smaller batches are padded.
    """

    items: Catalogue
    popular: Candidates
    model: LoadedModel | None
    trained: Candidates | None
    num_items: int
    batch_users: int

    def lists(self, users: pa.RecordBatch) -> pa.RecordBatch:
        """Rank at most `batch_users` users; see `scoring.lists` for the columns in and out."""
        left_out = columns.pairs(users["seen"])
        by_model = self._by_model(users, left_out)
        listed, scores = by_model.item_idx, by_model.scores
        short = np.flatnonzero(by_model.num_items < self.num_items)
        num_items = by_model.num_items.copy()
        if len(short):
            tail = self._by_popularity(users, short, left_out, by_model)
            num_items[short] += _append(listed, scores, by_model.num_items, short, tail)
        return self._rows(users, listed, scores, by_model.num_items, num_items)

    def _by_model(self, users: pa.RecordBatch, left_out: tuple[Array, Array]) -> Lists:
        num_users, shape = len(users), (len(users), self.num_items)
        length = columns.longest(users["items"])
        nobody = Lists(np.zeros(shape, np.int64), np.zeros(shape), np.zeros(num_users, np.int64))
        if self.model is None or self.trained is None or not length:
            return nobody
        history = {name: columns.matrix(users[name], length) for name in HISTORY}
        vocabulary = len(self.model.is_trained)
        known = np.where(history["items"] < vocabulary, history["items"], UNKNOWN)
        history["items"] = known.astype(np.int32)
        is_control = users["is_control"].to_numpy(zero_copy_only=False)
        has_history = self.model.is_trained[known].any(axis=1) & ~is_control
        if not has_history.any():
            return nobody
        padded = {name: _padded(values, self.batch_users) for name, values in history.items()}
        vectors = self.model.encode(padded)[:num_users]
        # Rows without a usable history are ranked along, so that no batch has a shape of its own.
        best = top_n(np.where(has_history[:, None], vectors, 0), self.trained, self.num_items, left_out)
        best.item_idx[~has_history] = 0
        return Lists(best.item_idx, best.scores, np.where(has_history, best.num_items, 0))

    def _by_popularity(
        self, users: pa.RecordBatch, rows: Array, left_out: tuple[Array, Array], by_model: Lists
    ) -> Lists:
        row_of = np.full(len(users), -1)
        row_of[rows] = np.arange(len(rows))
        listed_rows, places = np.nonzero(by_model.item_idx)
        out_rows = row_of[np.concatenate([left_out[0], listed_rows])]
        out_items = np.concatenate([left_out[1], by_model.item_idx[listed_rows, places]])
        segments = users["segment"].take(pa.array(rows)).to_pylist()
        vectors = self.items.popularity.user_vectors(segments)
        return top_n(
            vectors, self.popular, self.num_items, (out_rows[out_rows >= 0], out_items[out_rows >= 0])
        )

    def _rows(
        self, users: pa.RecordBatch, listed: Array, scores: Array, num_by_model: Array, num_items: Array
    ) -> pa.RecordBatch:
        place = np.arange(self.num_items)[None, :]
        filled = place < num_items[:, None]
        item_idx = listed[filled].astype(np.int32)
        name = self.model.name if self.model else POPULARITY
        version = self.model.version if self.model else None
        source = np.where(place < num_by_model[:, None], name, POPULARITY)[filled]
        struct = {
            "item_idx": pa.array(item_idx),
            "item_id": self.items.item_ids.take(pa.array(item_idx)),
            "rank": pa.array(np.broadcast_to(place + 1, filled.shape)[filled].astype(np.int32)),
            "score": pa.array(scores[filled]),
            "source": pa.array(source, pa.string()),
        }
        out = {
            "user_idx": users["user_idx"],
            "user_id": users["user_id"],
            "items": columns.lists(num_items, struct),
            "recommender": _either(num_by_model > 0, name, POPULARITY),
            "model_version": _either(num_by_model > 0, version, None),
            "segment": users["segment"],
            "is_control": users["is_control"],
            "reason": _either(num_items < self.num_items, TOO_FEW, None),
        }
        return pa.RecordBatch.from_arrays(list(out.values()), names=list(out))


def ranker(items: Catalogue, model: LoadedModel | None, num_items: int, batch_users: int) -> Ranker:
    """Pack the candidates: trained and available ones for the model, used and available for popularity."""
    trained = None
    if model is not None:
        is_available = np.zeros(len(model.is_trained), dtype=bool)
        both = min(len(is_available), len(items.is_available))
        is_available[:both] = items.is_available[:both]
        trained = candidates(model.item_vectors, model.is_trained & is_available)
    return Ranker(items, items.popular(), model, trained, num_items, batch_users)


def _append(listed: Array, scores: Array, num_listed: Array, rows: Array, tail: Lists) -> Array:
    """Put each tail behind its row's list, in place; returns how many items each row gained.

    Behind a model's items each score is one below the score before it: popularity has another scale.
    """
    room = listed.shape[1] - num_listed[rows]
    gained = np.minimum(room, tail.num_items)
    sub, step = np.nonzero(np.arange(listed.shape[1])[None, :] < gained[:, None])
    row = rows[sub]
    place = num_listed[row] + step
    last = scores[row, np.maximum(num_listed[row] - 1, 0)]
    is_tail = num_listed[row] > 0
    listed[row, place] = tail.item_idx[sub, step]
    scores[row, place] = np.where(is_tail, last - (step + 1), tail.scores[sub, step])
    return np.asarray(gained)


def _either(condition: Array, yes: str | None, no: str | None) -> pa.Array:
    return pc.if_else(pa.array(condition), pa.scalar(yes, pa.string()), pa.scalar(no, pa.string()))


def _padded(values: Array, num_rows: int) -> Array:
    out = np.zeros((num_rows, *values.shape[1:]), dtype=values.dtype)
    out[: len(values)] = values
    return out
