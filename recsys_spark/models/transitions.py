"""Transitions in the `item_item` form: what tends to follow the user's latest items.

`score(u, j) = sum over history positions of history_decay^r x W[item, j]`, r = 0 for the newest event, and
`W[i, j] = count[i, j] / (sum of count[i, :])^row_power`. Power 0 keeps raw counts, so frequent items weigh
more; 1 makes shares, so all weigh the same.

Source: the sequential rules of Ludewig and Jannach, Evaluation of session-based recommendation algorithms,
2018, 3.1.3. Differs: lags decay geometrically instead of by 1/lag, the whole history counts and not its
last item alone, and rows are divided by a power of their sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.models import artifacts

NAME = "transitions"
STARTS, NEIGHBOURS, WEIGHTS = "starts.npy", "neighbours.npy", "weights.npy"

Array = NDArray[Any]


@dataclass(frozen=True)
class Transitions:
    """W by rows: those of item i lie at `starts[i] : starts[i + 1]`.

    Attributes:
        starts: int64 [V + 1].
        neighbours: int32 [number of weights], item_idx, ascending within a row.
        weights: float32 [number of weights], above 0.
        trained_items: [V], true where an item had a training event: the model's candidates.
        history_decay: what an event weighs beside the next newer one.
    """

    starts: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    weights: NDArray[np.float32]
    trained_items: NDArray[np.bool_]
    history_decay: float


def fit(
    item_idx: Array,
    next_item_idx: Array,
    counts: Array,
    trained_items: NDArray[np.bool_],
    row_power: float,
    history_decay: float,
) -> Transitions:
    """Arrange counts as rows of weights.

    Args:
        item_idx: of each pair, below V, in any order.
        next_item_idx: of each pair, below V; a pair comes once.
        counts: of each pair, whole numbers above 0.
        trained_items: [V].
    """
    order = np.lexsort((next_item_idx, item_idx))
    of_row = np.bincount(item_idx, minlength=len(trained_items))
    starts = np.concatenate([[0], np.cumsum(of_row)]).astype(np.int64)
    sorted_counts = counts[order].astype(np.int64)
    until = np.concatenate([[0], np.cumsum(sorted_counts)])  # whole numbers: the sums are exact
    sums = np.repeat(until[starts[1:]] - until[starts[:-1]], of_row)
    weights = sorted_counts / sums.astype(np.float64) ** row_power
    return Transitions(
        starts,
        next_item_idx[order].astype(np.int32),
        weights.astype(np.float32),
        trained_items,
        history_decay,
    )


def history_weights(items: Array, history_decay: float) -> NDArray[np.float64]:
    """What each place of left-padded histories [B, L] weighs: history_decay^r, 0 where nothing is.

    The newest event, at the right, has r = 0; an unknown item keeps its place in the count.
    """
    age = np.arange(items.shape[1])[::-1]
    return np.where(items > 0, float(history_decay) ** age, 0.0)


def save(folder: Path, settings: Mapping[str, Any], model: Transitions) -> tuple[str, dict[str, str]]:
    """Write the folder; returns the version, a sha256 over all files' sha256, and each file's by name.

    Args:
        settings: those of the model, history_decay among them.
    """
    arrays: dict[str, Array] = {
        STARTS: model.starts,
        NEIGHBOURS: model.neighbours,
        WEIGHTS: model.weights,
        artifacts.TRAINED_ITEMS: model.trained_items,
    }
    files = artifacts.save_folder(folder, {**settings, "history_decay": model.history_decay}, arrays)
    return artifacts.version_of(files), files


def load(folder: Path) -> Transitions:
    """The model of a folder, verified; its arrays are memory maps, shared by the processes of a machine.

    Raises:
        BadDataError: a file of the folder cannot be read.
    """
    starts, neighbours, weights = (
        artifacts.load_array(folder / name, "r") for name in (STARTS, NEIGHBOURS, WEIGHTS)
    )
    decay = float(artifacts.load_settings(folder)["history_decay"])
    return Transitions(starts, neighbours, weights, artifacts.load_trained_items(folder), decay)
