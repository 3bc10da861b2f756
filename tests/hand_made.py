"""Catalogues, batches of users and models made by hand, and what a ranker makes of them; no Spark, no TensorFlow."""

import numpy as np
import pyarrow as pa

from recsys_spark.forms import folder as folders
from recsys_spark.forms import vectors
from recsys_spark.forms.inner_product import directions
from recsys_spark.forms.item_item import ItemItem, Weighing
from recsys_spark.forms.vectors import Vectors
from recsys_spark.ranking.item_item import ItemWeights
from recsys_spark.scoring.catalogue import catalogue
from recsys_spark.scoring.loaded_models import LoadedModel
from recsys_spark.scoring.ranker import ranker as packed
from recsys_spark.scoring.rules import NO_RULES, ListSettings

RNG = np.random.default_rng(1)
V, LENGTH = 30, 4
VECTORS = RNG.normal(size=(V, 5)).astype(np.float32)
INT_LIST, FLOAT_LIST = pa.list_(pa.int32()), pa.list_(pa.float32())


def encode(history):
    """Mean of the history's item vectors; refuses any other length of the history."""
    assert all(values.shape[1] == LENGTH for values in history.values())
    mask = (history["items"] > 1)[:, :, None]
    vectors = (VECTORS[history["items"]] * mask).sum(axis=1)
    vectors[:, -1] = 1
    return vectors.astype(np.float32)


def model(untrained=()):
    is_trained = np.ones(V, dtype=bool)
    is_trained[[0, 1, *untrained]] = False
    return LoadedModel("attention", "v1", Vectors(encode, VECTORS, directions(VECTORS), is_trained))


def items(
    num=V, unavailable=(), popular=range(2, V), segment=(), categories=None, sellers=None, only=None, min_age=None,
    new=(), rules=NO_RULES, night=1,
):  # fmt: skip
    features = pa.table(
        {
            "item_idx": pa.array(range(2, num), pa.int32()),
            "item_id": [f"i{i}" for i in range(2, num)],
            "is_available": [i not in unavailable for i in range(2, num)],
            "categories": pa.array(
                [(categories or {}).get(i, []) for i in range(2, num)], pa.list_(pa.string())
            ),
            "seller": pa.array([(sellers or {}).get(i) for i in range(2, num)], pa.string()),
            "segments": pa.array([(only or {}).get(i) for i in range(2, num)], pa.list_(pa.string())),
            "min_age": pa.array([(min_age or {}).get(i) for i in range(2, num)], pa.int32()),
            "num_events": pa.array([0 if i in new else 10 for i in range(2, num)], pa.int64()),
        }
    )
    rows = [("", i, 1000.0 - i) for i in popular] + [("FR", i, 5.0 + i) for i in segment]
    segments, item_idx, popularity = zip(*rows, strict=True) if rows else ([], [], [])
    counts = pa.table(
        {
            "segment": pa.array(segments, pa.string()),
            "item_idx": pa.array(item_idx, pa.int32()),
            "popularity": pa.array(popularity, pa.float64()),
        }
    )
    return catalogue(features, counts, rules, night)


def ranker(items, model, num_items, batch_users=8, **settings):
    return packed(items, model, ListSettings(num_items, batch_users, 1, **settings))


def users(*rows, ages=None, blocked=None, shown=None):
    """(history, seen, segment, is_control); a None history or seen is null."""
    padded = [None if h is None else [0] * (LENGTH - len(h)) + h for h, *_ in rows]
    floats = [None if h is None else [float(i) for i in h] for h in padded]
    columns = {
        "user_idx": pa.array(range(2, 2 + len(rows)), pa.int32()),
        "user_id": [f"u{n}" for n in range(len(rows))],
        "segment": [segment for _, _, segment, _ in rows],
        "age": pa.array(ages or [None] * len(rows), pa.int32()),
        "is_control": [is_control for *_, is_control in rows],
        "items": pa.array(padded, INT_LIST),
        "types": pa.array(padded, INT_LIST),
        "values": pa.array(floats, FLOAT_LIST),
        "gaps": pa.array(padded, INT_LIST),
        "weights": pa.array(floats, FLOAT_LIST),
        "seen": pa.array([seen for _, seen, *_ in rows], INT_LIST),
        "blocked": pa.array(blocked or [None] * len(rows), INT_LIST),
        "shown": pa.array(shown or [None] * len(rows), INT_LIST),
    }
    return pa.RecordBatch.from_arrays([pa.array(c) for c in columns.values()], names=list(columns))


def listed(batch):
    return batch["items"].to_pylist()


def scores(batch):
    return batch["scores"].to_pylist()


def filled_by(batch):
    return [[(run["source"], run["num_items"]) for run in row] for row in batch["filled_by"].to_pylist()]


def transitions(**follows):
    """Item 2 is followed by 3 with weight 1.5: `i2={3: 1.5}`."""
    rows = [follows.get(f"i{item}", {}) for item in range(V)]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    neighbours = np.array([n for row in rows for n in sorted(row)], np.int32)
    weights = np.array([row[n] for row in rows for n in sorted(row)], np.float32)
    form = ItemItem(ItemWeights(starts, neighbours, weights), np.arange(V) >= 2, Weighing("rank", 0.5))
    return LoadedModel("transitions", "v2", form)


def score_of(history, item):
    user = VECTORS[history].sum(axis=0).astype(np.float64)
    user[-1] = 1
    return float((user * VECTORS[item]).sum())


def similar_of(model, items):
    """What finds the items most like each, among those that somebody may get."""
    return model.form.similar(items.eligible.of_form(model.form.is_trained))


def save_network(folder, settings, weights, item_vectors, is_trained):
    """A network's folder without an item tower; returns each file's sha256 by name."""
    files = vectors.save(folder, settings, item_vectors, is_trained)
    return files | folders.save_arrays(folder, vectors.WEIGHTS, weights)
