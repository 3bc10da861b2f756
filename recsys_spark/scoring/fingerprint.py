"""One number for all that a user's list is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import resources
from importlib.metadata import distributions
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark.forms import folder as folders
from recsys_spark.ranking.beyond_accuracy import Categories
from recsys_spark.scoring import stored_models
from recsys_spark.scoring.bases import Basis
from recsys_spark.scoring.rules import ListSettings
from recsys_spark.scoring.user_rows import LEFT_OUT, read_columns

# Packages that decide the last bit of a score, beside this one's own code.
_PACKAGES = ("numpy", "numba", "llvmlite", "keras", "tensorflow", "tensorflow-cpu")
_OF_USER = ("segment", "age", "is_control")


def basis_hash(basis: Basis, settings: ListSettings) -> str:
    """sha256 of what the lists of a night share: model, code, settings, who may get what, caps, cold items.

    Of the catalogue only what the model can rank counts: another item that comes or goes changes no list that
    the model alone has filled. Fetches the model.

    Args:
        basis: with a model.
    """
    digest = hashlib.sha256()
    for part in _parts(basis, settings):
        data = part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode()
        digest.update(len(data).to_bytes(8))  # so that what ends one part cannot begin the next
        digest.update(data)
    return digest.hexdigest()


def _parts(basis: Basis, settings: ListSettings) -> Iterator[Any]:
    items, model, cold = basis
    if model is None:
        return
    is_trained = folders.load_trained_items(model.fetch(model.version))
    num_items = max(len(is_trained), int(cold.item_idx.max()) + 1 if cold else 0)
    yield [(name, package.version) for name in _PACKAGES for package in distributions(name=name)]
    yield list(_sources(resources.files("recsys_spark")))
    yield model.name, sorted(model.files.items())  # a blend's name their members' versions
    yield settings._replace(batch_users=0, num_threads=0)  # neither decides what a list holds
    eligible = items.eligible
    yield from (eligible.of_form(is_trained).kind, eligible.factors, eligible.segments, eligible.age_limits)
    if items.caps is not None:
        starts = items.caps.starts[: num_items + 1]
        groups = items.caps.groups[: starts[-1]]
        yield from (starts, groups, items.caps.most[groups])
    if settings.rerank.by != "none":
        yield from _first(items.categories, num_items)
    if cold is not None:
        yield from cold


def _sources(folder: Traversable) -> Iterator[tuple[str, str]]:
    """Name and sha256 of every Python file: the package's version does not say what a checkout has changed."""
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir():
            yield from _sources(entry)
        elif entry.name.endswith(".py"):
            yield entry.name, hashlib.sha256(entry.read_bytes()).hexdigest()


def _first(categories: Categories, num_items: int) -> tuple[Any, Any]:
    starts = categories.starts[: num_items + 1]
    return starts, categories.codes[: starts[-1]]


def with_fingerprint(users: DataFrame, basis: Basis, settings: ListSettings) -> DataFrame:
    """Set `fingerprint`, 64 bits of a hash over the user's row and all that the lists of a night share.

    Args:
        users: as `user_rows.with_history` gives them.
        basis: with a model.
    """
    read = read_columns(stored_models.reads(basis.model, settings.rerank.by))
    # xxhash64 passes over nulls and over where a list ends: so say which are null, and how long lists are.
    parts = [F.lit(basis_hash(basis, settings))]
    for name in _OF_USER:
        parts += [F.isnull(name), F.col(name)]
    for name in (*read, *LEFT_OUT):
        parts += [F.coalesce(F.size(name), F.lit(-1)), F.col(name)]
    return users.withColumn("fingerprint", F.xxhash64(*parts))
