"""Both roles of every recommender: fitted one after the other, kept in the lake, told as rows of MODELS."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from recsys_spark import models
from recsys_spark.errors import TrainingError
from recsys_spark.forms import folder as folders
from recsys_spark.scoring import index_hash
from recsys_spark.training.lessons import Keep, Lesson

log = logging.getLogger(__name__)

Save = Callable[[Path], Mapping[str, str]]


class Fitted(NamedTuple):
    """What fitting one role gave.

    Attributes:
        num_items: V.
        save: writes the model's folder; gives each file's sha256 by name.
        facts: for people, in the manifest.
        save_state: writes the folder of what only a warm start reads, likewise; None: there is none.
        epochs: that a network was trained; None for what has none. The next role trains as many.
        start_version: of the model it started from.
        members: of a blend, version by name.
    """

    num_items: int
    save: Save
    facts: Mapping[str, Any]
    save_state: Save | None = None
    epochs: int | None = None
    start_version: str | None = None
    members: Mapping[str, str] = {}


FitRole = Callable[[str, Lesson, int | None], Fitted]  # role, its lesson, epochs or None to choose them


def train(
    name: str, lessons: Mapping[str, Lesson], fit_role: FitRole, item_index: pa.Table, keep: Keep | None
) -> list[dict[str, Any]]:
    """Rows of MODELS, their run_date and split left out, one a role.

    Args:
        name: of the recommender.
        lessons: by role, the twin first.
        item_index: rows of ITEM_INDEX, at least those numbered below V.
        keep: takes each folder under its version; None: another worker of this training keeps them.

    Raises:
        TrainingError: a model holds a number that is not finite.
    """
    ids, rows, epochs = index_hash.ids_of(item_index), [], None
    for role, lesson in lessons.items():
        began = time.monotonic()
        fitted = fit_role(role, lesson, epochs)
        epochs = fitted.epochs
        if keep is not None:
            of_role = {"role": role, "data_end": lesson.data_end}
            rows.append({**of_role, **_kept(name, role, fitted, ids, keep)})
        log.info("model_trained name=%s role=%s seconds=%.1f", name, role, time.monotonic() - began)
    return rows


def _kept(name: str, role: str, fitted: Fitted, ids: Sequence[tuple[int, str]], keep: Keep) -> dict[str, Any]:
    """The other columns of MODELS; the folders have been handed to `keep`."""
    facts = models.ALL[name]
    with tempfile.TemporaryDirectory() as folder:
        files = dict(fitted.save(Path(folder)))
        if (file := folders.not_finite(Path(folder), files)) is not None:
            raise TrainingError(
                f"{name} {role}: {file} holds a number that is not finite; look for values out of range in "
                f"{facts.learns_from or 'the interactions'}, or change the settings of {name}"
            )
        version = folders.version_of(files)
        keep(version, Path(folder))
    state: dict[str, str] = {}
    if fitted.save_state is not None:
        with tempfile.TemporaryDirectory() as folder:
            state = dict(fitted.save_state(Path(folder)))
            keep(state_version(version), Path(folder))
    return {
        "name": name,
        "form": facts.form,
        "learns_from": facts.learns_from,
        "num_items": fitted.num_items,
        "item_index_hash": index_hash.prefix_hash(ids, fitted.num_items),
        "epochs": fitted.epochs,
        "start_version": fitted.start_version,
        "members": dict(fitted.members),
        "version": version,
        "files": files,
        "state_files": state,
        "manifest": json.dumps(dict(fitted.facts), sort_keys=True),
    }


def state_version(version: str) -> str:
    """The name under which the lake keeps what a warm start needs beside the model."""
    return f"{version}-state"
