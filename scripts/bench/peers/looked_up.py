"""A recommender of the benchmarks alone: a user's vector is looked up, by the number that is the user's newest gap.

To import this module is to make it known, which each process does that gets such a model's folder.
"""

from __future__ import annotations

import datetime as dt
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recsys_spark import models
from recsys_spark.forms import folder as folders
from recsys_spark.forms import vectors
from recsys_spark.scoring.stored_models import StoredModel

NAME, USERS = "looked_up", "user_vectors.npy"
READ = ("items", "gaps")  # of the history

models.ALL.setdefault(NAME, models.Recommender(None, "nobody", "vectors", READ))
sys.modules[f"{models.__name__}.{NAME}"] = sys.modules[__name__]


def stored(folder: Path, user_vectors: Any, item_vectors: Any) -> StoredModel:
    """A model with these vectors, [users, D] and [V, D]; its files go into `folder`."""
    is_trained = np.arange(len(item_vectors)) >= 2
    files = vectors.save(folder, {}, item_vectors, is_trained)
    files |= folders.save_array(folder, USERS, user_vectors)
    return StoredModel(
        name=NAME,
        form="vectors",
        version=folders.version_of(files),
        run_date=dt.date(2024, 1, 31),
        files=files,
        num_items=len(item_vectors),
        item_index_hash="",
        fetch=partial(_fetch, folder),
    )


def encoder(folder: Path, num_threads: int) -> vectors.Encode:
    """What `models` asks a network's file for."""
    del num_threads
    users = folders.load_array(folder / USERS)
    return lambda histories: users[histories["gaps"][:, -1]]


def _fetch(folder: Path, version: str) -> Path:
    del version
    return folder
