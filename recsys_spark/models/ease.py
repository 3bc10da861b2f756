"""`ease`: item-to-item weights in closed form, the least squares of every item on all others.

With X [U, V] the users' items, G = X'X and P = (G + regularization I)^-1: W[i, j] = -P[i, j] / P[j, j], and 0 on the
diagonal. `score(u, j) = sum over the user's items i of X[u, i] x W[i, j]`.

Source: Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", equation 8. Differs: X holds the bag's weight
to a power (0, as in the paper: each item counts once); only items with a score above 0 are listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.compiled import compiled
from recsys_spark.errors import SettingsError
from recsys_spark.forms.item_item import ItemItem, Weighing
from recsys_spark.ranking.item_item import ItemWeights, UserItems

_CELL = 24  # bytes of an entry of G, of its inverse, and of what LAPACK keeps beside them

Array = NDArray[Any]


def fit(bags: UserItems, item_counts: NDArray[np.int64], settings: Mapping[str, Any]) -> ItemItem:
    """Count pairs, invert, and keep every weight.

    Args:
        bags: of all users; items of V or above are passed over.
        item_counts: [V], training events of each item.
        settings: section `ease`; memory_bytes that the driver may take.

    Raises:
        SettingsError: V x V numbers do not fit into memory.
    """
    trained = np.flatnonzero(item_counts > 0)
    num_items, size = len(item_counts), len(trained)
    needed = _CELL * size**2 + 4 * num_items**2
    if needed > settings["memory_bytes"]:
        raise SettingsError(
            f"ease: {size} items with an event make matrices of {size} x {size} numbers, {needed / 2**30:.1f} GiB "
            f"in all, and the driver has {settings['memory_bytes'] / 2**30:.1f} GiB; set recommend.recommenders to "
            "another recommender, take items out by the mapping, or give the driver's machine more memory"
        )
    row_of = np.full(num_items, -1)
    row_of[trained] = np.arange(size)
    known = bags.items < num_items
    rows = np.where(known, row_of[np.where(known, bags.items, 0)], -1)
    gram = np.zeros((size, size))
    _add_pairs(bags.starts, rows, bags.weights.astype(np.float64) ** settings["weight_power"], gram)
    gram[np.diag_indices(size)] += settings["regularization"]
    inverse = np.linalg.inv(gram)
    weights = np.zeros((num_items, num_items), np.float32)
    weights[np.ix_(trained, trained)] = -inverse / np.diag(inverse)[None, :]
    weights[np.diag_indices(num_items)] = 0.0
    starts = np.arange(num_items + 1, dtype=np.int64) * num_items
    matrix = ItemWeights(starts, np.zeros(0, np.int32), weights.reshape(-1))
    return ItemItem(matrix, item_counts > 0, Weighing("bag", settings["weight_power"]))


@compiled
def _add_pairs(starts: Array, rows: Array, weights: Array, gram: Array) -> None:
    """Add x x' of every user to `gram`; rows below 0 count for nothing."""
    for user in range(len(starts) - 1):
        for one in range(starts[user], starts[user + 1]):
            if rows[one] < 0:
                continue
            for other in range(starts[user], starts[user + 1]):
                if rows[other] >= 0:
                    gram[rows[one], rows[other]] += weights[one] * weights[other]
