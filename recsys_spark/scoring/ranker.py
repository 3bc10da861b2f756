"""Lists for a batch of users: encode, rank by the model, fill up by popularity. NumPy and Arrow only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_spark.ranking.top_n import Lists
from recsys_spark.scoring import columns
from recsys_spark.scoring.catalogue import POPULARITY, Catalogue
from recsys_spark.scoring.forms import Explain, Pairs, Rank, explaining, ranking
from recsys_spark.scoring.known_models import LoadedModel
from recsys_spark.scoring.reasons import Reasons, nothing

TOO_FEW = "too_few_candidates"
UNKNOWN = 1
HISTORY = ("items", "types", "values", "gaps", "weights")

Array = NDArray[Any]


@dataclass(frozen=True)
class Ranker:
    """Everything about the items and the model, packed once; `lists` is then called batch after batch.

    Attributes:
        model, rank: None when popularity alone fills the lists.
        explain: None when no reasons are given.
        num_items: N, places in a list.
    """

    items: Catalogue
    model: LoadedModel | None
    rank: Rank | None
    explain: Explain | None
    num_items: int

    def lists(self, users: pa.RecordBatch) -> pa.RecordBatch:
        """Rank at most `batch_users` users; see `scoring.lists` for the columns in and out."""
        left_out = columns.pairs(users["seen"])
        by_model, reasons = self._by_model(users, left_out)
        listed, scores = by_model.item_idx, by_model.scores
        short = np.flatnonzero(by_model.num_items < self.num_items)
        num_items = by_model.num_items.copy()
        if len(short):
            tail = self._by_popularity(users, short, left_out, by_model)
            num_items[short] += _append(listed, scores, by_model.num_items, short, tail)
        return self._rows(users, listed, scores, reasons, by_model.num_items, num_items)

    def _by_model(self, users: pa.RecordBatch, left_out: Pairs) -> tuple[Lists, Reasons]:
        num_users, shape = len(users), (len(users), self.num_items)
        lists = Lists(np.zeros(shape, np.int64), np.zeros(shape), np.zeros(num_users, np.int64))
        reasons = nothing(lists)
        length = columns.longest(users["items"])
        if self.model is None or self.rank is None or not length:
            return lists, reasons
        histories = {name: columns.matrix(users[name], length) for name in HISTORY}
        vocabulary = len(self.model.is_trained)
        known = np.where(histories["items"] < vocabulary, histories["items"], UNKNOWN)
        histories["items"] = known.astype(np.int32)
        is_control = users["is_control"].to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(self.model.is_trained[known].any(axis=1) & ~is_control)
        if len(rows):
            histories = {name: values[rows] for name, values in histories.items()}
            best = self.rank(histories, self.num_items, _of_rows(left_out, rows, num_users))
            lists.item_idx[rows], lists.scores[rows] = best.item_idx, best.scores
            lists.num_items[rows] = best.num_items
            if self.explain:
                why = self.explain(histories, best)
                reasons.item_idx[rows], reasons.scores[rows] = why
        return lists, reasons

    def _by_popularity(self, users: pa.RecordBatch, rows: Array, left_out: Pairs, by_model: Lists) -> Lists:
        listed_rows, places = np.nonzero(by_model.item_idx)
        listed = by_model.item_idx[listed_rows, places]
        unwanted = np.concatenate([left_out[0], listed_rows]), np.concatenate([left_out[1], listed])
        segments = users["segment"].take(pa.array(rows)).to_pylist()
        return self.items.most_popular(segments, self.num_items, _of_rows(unwanted, rows, len(users)))

    def _rows(
        self, users: pa.RecordBatch, listed: Array, scores: Array, reasons: Reasons, num_by_model: Array,
        num_items: Array,
    ) -> pa.RecordBatch:  # fmt: skip
        filled = np.arange(self.num_items)[None, :] < num_items[:, None]
        name = self.model.name if self.model else POPULARITY
        version = self.model.version if self.model else None
        out = {
            "user_idx": users["user_idx"],
            "user_id": users["user_id"],
            "items": columns.lists(num_items, pa.array(listed[filled].astype(np.int32))),
            "scores": columns.lists(num_items, pa.array(scores[filled])),
            "filled_by": _runs({name: num_by_model, POPULARITY: num_items - num_by_model}),
            "because": self._told(reasons.item_idx.astype(np.int32), filled),
            "because_scores": self._told(reasons.scores, filled),
            "recommender": _either(num_by_model > 0, name, POPULARITY),
            "model_version": _either(num_by_model > 0, version, None),
            "segment": users["segment"],
            "is_control": users["is_control"],
            "reason": _either(num_items < self.num_items, TOO_FEW, None),
        }
        return pa.RecordBatch.from_arrays(list(out.values()), names=list(out))

    def _told(self, values: Array, filled: Array) -> pa.ListArray:
        """One list a row; nulls where no reasons are given."""
        if self.explain is None:
            return pa.nulls(len(filled), pa.list_(pa.from_numpy_dtype(values.dtype)))
        return columns.lists(filled.sum(axis=1), pa.array(values[filled]))


def ranker(
    items: Catalogue, model: LoadedModel | None, num_items: int, batch_users: int, explain: bool = False
) -> Ranker:
    """Pack the candidates: trained and available ones for the model, used and available for popularity.

    Args:
        batch_users: the one number of users that are encoded at a time; fewer are padded.
        explain: reasons also where they cost much.
    """
    if model is None:
        return Ranker(items, None, None, None, num_items)
    rank = ranking(model.form, candidates_of(model, items), batch_users)
    return Ranker(items, model, rank, explaining(model.form, batch_users, explain), num_items)


def candidates_of(model: LoadedModel, items: Catalogue) -> NDArray[np.bool_]:
    """[V] of the model: trained and available."""
    is_available = np.zeros(len(model.is_trained), dtype=bool)
    both = min(len(is_available), len(items.is_available))
    is_available[:both] = items.is_available[:both]
    return model.is_trained & is_available


def _of_rows(pairs: Pairs, rows: Array, num_users: int) -> Pairs:
    """The pairs of these users, numbered by their place in `rows`."""
    if len(rows) == num_users:
        return pairs
    place = np.full(num_users, -1)
    place[rows] = np.arange(len(rows))
    renumbered = place[pairs[0]]
    kept = renumbered >= 0
    return renumbered[kept], pairs[1][kept]


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


def _runs(num_items: dict[str, Array]) -> pa.ListArray:
    """FILLED_BY [B] from how many places [B] each source filled, in the order of the list."""
    counts = np.stack(list(num_items.values()), axis=1)
    row, source = np.nonzero(counts)
    runs = {
        "source": pa.array(list(num_items), pa.string()).take(pa.array(source)),
        "num_items": pa.array(counts[row, source].astype(np.int32)),
    }
    structs = pa.StructArray.from_arrays(list(runs.values()), names=list(runs))
    return columns.lists((counts > 0).sum(axis=1), structs)


def _either(condition: Array, yes: str | None, no: str | None) -> pa.Array:
    return pc.if_else(pa.array(condition), pa.scalar(yes, pa.string()), pa.scalar(no, pa.string()))
