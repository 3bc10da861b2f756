"""The item tower with the id unknown: vectors of items without a training event, from features alone. NumPy only.

A vector is [embedding + features @ projection, bias]. An item without a training event has no embedding and no bias
of its own, and of its features only the content says something. For all the rest stands what the rarest trained items
have beside their content, on average: a softmax over all items pushes rarely used ones down, so with a rest of zeros
every such item would stand above all of them.

Shapes: V items, F item features, of them C of content, M items without a training event, D embedding_dim.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys_spark.errors import BadDataError
from recsys_spark.forms import folder as folders

TOWER, CONTENT = "item_tower.npy", "item_tower.json"  # in the folder of a model that has one
RARE = 0.25  # trained items with at most as many events as this share of them has are rare

Array = npt.NDArray[Any]


class Columns(NamedTuple):
    """Item features by place [F]; a feature is (number - mean) / std."""

    names: Sequence[str]
    means: Sequence[float]
    stds: Sequence[float]


class Content(NamedTuple):
    """The columns of a tower [C], and the least and greatest feature of a trained item in each.

    A column of title terms is named with the number of them: title:17/32.
    """

    names: Sequence[str]
    means: Sequence[float]
    stds: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]


class Tower(NamedTuple):
    """`rows` float32 [C + 1, D + 1]: what each column adds to a vector, bias last; the last row is the unknown id."""

    content: Content
    rows: npt.NDArray[np.float32]


def columns_of(feature_columns: Iterable[Mapping[str, Any]]) -> Columns:
    """The items' columns from the rows of FEATURE_COLUMNS of one cut."""
    of_items = [row for row in feature_columns if row["entity"] == "item"]
    of_items.sort(key=lambda row: row["position"])
    return Columns(*([row[name] for row in of_items] for name in ("name", "mean", "std")))


def tower(
    columns: Columns,
    is_content: Array,
    features: Array,
    item_counts: Array,
    item_vectors: Array,
    projection: Array,
) -> Tower:
    """The tower of a trained network. Columns that are 0 for every trained item taught it nothing and stay out.

    Args:
        is_content: [F], whether an item without an event has the feature.
        features: [V, F].
        item_counts: [V], training events of each item.
        item_vectors: [V, D + 1].
        projection: [F, D].
    """
    is_trained = item_counts > 0
    lows, highs = (
        of(features, axis=0, where=is_trained[:, None], initial=first)
        for of, first in ((np.min, np.inf), (np.max, -np.inf))
    )
    places = np.flatnonzero(is_content & ((lows != 0) | (highs != 0))).tolist()
    names = _named(columns.names)
    content = Content(
        [names[place] for place in places],
        *([values[place] for place in places] for values in (columns.means, columns.stds)),
        *([float(values[place]) for place in places] for values in (lows, highs)),
    )
    adds = np.pad(projection[places].astype(np.float64), ((0, 0), (0, 1)))  # [C, D + 1]
    most = np.quantile(item_counts[is_trained], RARE, method="lower")
    is_rare = (is_trained & (item_counts <= most))[:, None]
    vector, feature = (
        np.asarray(np.mean(values, axis=0, dtype=np.float64, where=is_rare))
        for values in (item_vectors, features)
    )
    unknown = vector - feature[places] @ adds
    return Tower(content, np.concatenate([adds, unknown[None, :]]).astype(np.float32))


def vectors(features: Array, columns: Columns, tower: Tower) -> tuple[npt.NDArray[np.float32], Array]:
    """Vectors [M, D + 1], and whether [M] the tower knows anything of the item.

    Columns go by name, and numbers by value: the features may be another night's than the tower's. A number beyond
    those of the trained items counts as the nearest of them; a missing one, or a column that is not there, adds
    nothing.

    Args:
        features: [M, F], as `columns` says.
    """
    known = tower.content
    place_of = {name: place for place, name in enumerate(_named(columns.names))}
    numbers = np.zeros((len(features), len(known.names)))
    for at, name in enumerate(known.names):
        if (place := place_of.get(name)) is None:
            continue
        number = features[:, place].astype(np.float64) * columns.stds[place] + columns.means[place]
        numbers[:, at] = (number - known.means[at]) / known.stds[at]
        if (has := place_of.get(f"has_{name}")) is not None:
            within = np.clip(numbers[:, at], known.lows[at], known.highs[at])
            numbers[:, at] = np.where(features[:, has] > 0, within, 0.0)
    rows = tower.rows.astype(np.float64)
    return (numbers @ rows[:-1] + rows[-1]).astype(np.float32), np.asarray(numbers.any(axis=1))


def save(folder: Path, tower: Tower) -> dict[str, str]:
    """Write a tower into a model's folder; returns each file's sha256 by name."""
    return folders.save_json(folder, CONTENT, tower.content._asdict()) | folders.save_array(
        folder, TOWER, tower.rows
    )


def load(folder: Path) -> Tower:
    """The tower of a verified folder.

    Raises:
        BadDataError: it cannot be read, or its two files do not fit each other.
    """
    content = Content(**folders.load_json(folder, CONTENT))
    rows = folders.load_array(folder / TOWER, is_mapped=False)
    if len(rows) != len(content.names) + 1:
        raise BadDataError(
            f"model file {folder / TOWER}: {len(rows)} rows, expected one for each column of {CONTENT} and one more; "
            "train again"
        )
    return Tower(content, rows)


def _named(names: Sequence[str]) -> list[str]:
    """The names; those of hashed title terms with the number of buckets, which decides what each holds."""
    is_title = [name.startswith("title:") for name in names]
    return [
        f"{name}/{sum(is_title)}" if of_title else name
        for name, of_title in zip(names, is_title, strict=True)
    ]
