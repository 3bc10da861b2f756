"""Merge tonight's models of one role into a blend; its weights are given, equal, or fitted on the validation users."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.forms import blend
from recsys_spark.forms import folder as folders
from recsys_spark.forms.blend import Blending
from recsys_spark.training.lessons import Common, Lesson
from recsys_spark.training.night import FitRole, Fitted

log = logging.getLogger(__name__)

EQUAL, FITTED = "equal", "fitted"


def fitting(rows: Sequence[Mapping[str, Any]], section: Mapping[str, Any], common: Common) -> FitRole:
    """What makes the blend of one role.

    Args:
        rows: of MODELS: the members of both roles.
        section: the settings of the blend.
    """
    weights: list[tuple[float, ...]] = []  # of the twin, for the published one too

    def fit_role(role: str, lesson: Lesson, epochs: int | None) -> Fitted:
        members = {row["name"]: row["version"] for row in rows if row["role"] == role}
        trained = [folders.load_trained_items(common.get(version)) for version in members.values()]
        if not weights:
            weights.append(_weights(section["weights"], len(members)))
        blending = Blending(section["by"], weights[0], section["pool_items"])
        return Fitted(
            max(map(len, trained)),
            partial(_save, blending, members, _any(trained)),
            {"settings": dict(section), "weights": list(blending.weights), "members": members},
            members=members,
        )

    return fit_role


def _weights(setting: str | Sequence[float], num_members: int) -> tuple[float, ...]:
    if isinstance(setting, str):
        return (1.0,) * num_members
    return tuple(map(float, setting))


def _any(trained: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    union = np.zeros(max(map(len, trained)), np.bool_)
    for is_trained in trained:
        union[: len(is_trained)] |= is_trained
    return union


def _save(
    blending: Blending, members: Mapping[str, str], trained: NDArray[np.bool_], folder: Any
) -> dict[str, str]:
    return blend.save(folder, blending, members, trained)
