"""The folder of a network: form `vectors`, the weights that encode users, the tower of items without an event."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from recsys_spark.forms import folder as folders
from recsys_spark.forms import item_tower, vectors
from recsys_spark.forms.item_tower import Columns
from recsys_spark.networks.network import FEATURE_PROJECTION, Network, weights_of
from recsys_spark.training.watch import Speed
from recsys_spark.transforms.item_features import is_content

SPEED = "speed.json"  # beside the model's files; not in the table, whose rows hold no clock


def save(network: Network, item_columns: Columns, speed: Speed, folder: Path) -> dict[str, str]:
    """Write the folder; returns the sha256 of each file that the model is made of, by name.

    Args:
        item_columns: of the network's item features.
    """
    weights, item_vectors = weights_of(network), network.item_vectors()
    counts = weights["item_counts"]
    tower = item_tower.tower(
        item_columns,
        np.array([is_content(column) for column in item_columns.names]),
        weights["features"],
        counts,
        item_vectors,
        weights[FEATURE_PROJECTION],
    )
    files = vectors.save(folder, network.settings._asdict(), item_vectors, counts > 0)
    files |= folders.save_arrays(folder, vectors.WEIGHTS, weights) | item_tower.save(folder, tower)
    rounded = {fact: round(value, 4) for fact, value in speed._asdict().items()}
    (folder / SPEED).write_text(json.dumps(rounded, indent=1) + "\n")
    return files
