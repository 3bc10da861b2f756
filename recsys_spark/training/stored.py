"""A trained model as the lake keeps it: files of the model, files of its training's state, and a row."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from recsys_spark.models import artifacts, item_tower, self_attention
from recsys_spark.models import self_attention_network as nets
from recsys_spark.models.item_tower import Columns
from recsys_spark.training.optimizers import Optimizer
from recsys_spark.training.warm import slots_of, state_version
from recsys_spark.training.watch import Speed
from recsys_spark.transforms.item_features import is_content

LIBRARIES = ("tensorflow", "keras", "numpy", "petastorm", "pyarrow")
SPEED = "speed.json"  # beside the model's files; not in the table, whose rows hold no clock


def store(
    network: nets.SelfAttention,
    optimizer: Optimizer,
    item_columns: Columns,
    facts: Mapping[str, Any],
    speed: Speed,
    keep: Callable[[str, Path], None],
) -> dict[str, Any]:
    """The columns name, version, files and manifest of MODELS; both folders have been handed to `keep`.

    Args:
        item_columns: of the network's item features.
        facts: for the manifest.
    """
    weights, item_vectors = nets.weights_of(network), network.item_vectors()
    counts = weights["item_counts"]
    tower = item_tower.tower(
        item_columns,
        np.array([is_content(column) for column in item_columns.names]),
        weights["features"],
        counts,
        item_vectors,
        weights[nets.FEATURE_PROJECTION],
    )
    with tempfile.TemporaryDirectory() as folder:
        name, files = artifacts.save(
            Path(folder), network.settings._asdict(), weights, item_vectors, counts > 0, tower.rows
        )
        rounded = {fact: round(value, 4) for fact, value in speed._asdict().items()}
        (Path(folder) / SPEED).write_text(json.dumps(rounded, indent=1) + "\n")
        keep(name, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        slots = {slot: np.asarray(array) for slot, array in slots_of(optimizer, network).items()}
        state = artifacts.save_arrays(Path(folder), artifacts.OPTIMIZER, slots)
        keep(state_version(name), Path(folder))
    own = {"content": tower.content._asdict(), "optimizer_files": state}
    manifest = json.dumps({**facts, **own}, sort_keys=True)
    return {"name": self_attention.NAME, "version": name, "files": files, "manifest": manifest}


def libraries() -> dict[str, str]:
    """Versions of what decides the weights."""
    return {name: version(_package(name)) for name in LIBRARIES}


def _package(name: str) -> str:
    if name != "tensorflow":
        return name
    try:
        version("tensorflow-cpu")
    except PackageNotFoundError:
        return name
    return "tensorflow-cpu"
