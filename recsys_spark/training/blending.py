"""Merge tonight's models of one role into a blend; its weights are given, equal, or fitted on the validation users."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.errors import TrainingError
from recsys_spark.forms import blend
from recsys_spark.forms import folder as folders
from recsys_spark.forms.blend import Blending
from recsys_spark.forms.form import BAG, Eligible, Form
from recsys_spark.ranking import merging
from recsys_spark.ranking.item_item import UserItems
from recsys_spark.ranking.top_n import Lists
from recsys_spark.scoring import loaded_models, stored_models
from recsys_spark.training import validation
from recsys_spark.training.by_arrays import read_bags
from recsys_spark.training.lessons import Common, Lesson, ValidationFiles, columns
from recsys_spark.training.night import FitRole, Fitted

log = logging.getLogger(__name__)

EQUAL, FITTED = "equal", "fitted"
BATCH_USERS = 512
_LEVELS = {2: 11, 3: 5}  # weights that are tried of each member, by the number of members; of more members 3

Array = NDArray[Any]


def fitting(rows: Sequence[Mapping[str, Any]], section: Mapping[str, Any], common: Common) -> FitRole:
    """What makes the blend of one role; the twin fits the weights, the published one takes them over.

    Args:
        rows: of MODELS: the members of both roles.
        section: the settings of the blend.
    """
    fitted: list[tuple[float, ...]] = []

    def fit_role(role: str, lesson: Lesson, epochs: int | None) -> Fitted:
        of_role = [row for row in rows if row["role"] == role]
        members = {row["name"]: row["version"] for row in of_role}
        if not fitted:
            fitted.append(_weights(of_role, section, common))
        blending = Blending(section["by"], fitted[0], section["pool_items"])
        trained = blend.any_trained(
            [folders.load_trained_items(common.get(version)) for version in members.values()]
        )
        return Fitted(
            len(trained),
            partial(_save, blending, members, trained),
            {"settings": dict(section), "weights": list(blending.weights), "members": members},
            members=members,
        )

    return fit_role


def _weights(
    rows: Sequence[Mapping[str, Any]], section: Mapping[str, Any], common: Common
) -> tuple[float, ...]:
    setting = section["weights"]
    if setting == EQUAL:
        return (1.0,) * len(rows)
    if setting != FITTED:
        return tuple(map(float, setting))
    if common.valid is None:
        raise TrainingError("blend: no validation users to fit weights on; set blend.weights to equal")
    users = validation.load(
        common.valid.truth,
        common.valid.histories,
        common.valid.seen,
        columns(common.settings.history_length, mask=False),
        max(row["num_items"] for row in rows),
        common.settings.max_valid_users,
        common.settings.repeats_allowed,
        common.settings.seed,
    )
    if users.num_users < min(common.settings.min_valid_users, common.settings.max_valid_users):
        log.warning("too_few_users_to_fit_weights num=%d: all are 1", users.num_users)
        return (1.0,) * len(rows)
    forms = [
        loaded_models.load(stored_models.of_row(row, common.get), common.settings.num_threads).form
        for row in rows
    ]
    best = fitted_weights(users, common.valid, forms, section)
    log.info("weights_fitted users=%d weights=%s", users.num_users, ",".join(map(str, best)))
    return best


def fitted_weights(
    users: validation.Validation, valid: ValidationFiles, forms: Sequence[Form], section: Mapping[str, Any]
) -> tuple[float, ...]:
    """The weights, of a grid, with the greatest mean NDCG@10; of equal ones those nearest to each other.

    Args:
        forms: the members, as of cut valid.
        section: the settings of the blend.
    """
    tried = grid(len(forms))
    totals = np.zeros(len(tried))
    for start in range(0, users.num_users, BATCH_USERS):
        num = min(BATCH_USERS, users.num_users - start)
        pools = _nominated(users, valid, forms, start, num, section["pool_items"])
        truth = validation.within(users.truth, start, num)
        for number, weights in enumerate(tried):
            merged = merging.merge(pools, weights, section["by"])
            totals[number] += validation.ndcg_of(merged.item_idx[:, : validation.K], truth).sum()
    return tried[int(np.argmax(totals))]


def grid(num_members: int) -> list[tuple[float, ...]]:
    """Weights from 0 to 1 of which the greatest is 1, those nearest to each other first."""
    levels = np.linspace(0, 1, _LEVELS.get(num_members, 3)).round(2).tolist()
    points = [point for point in itertools.product(levels, repeat=num_members) if max(point) == 1]
    return sorted(points, key=lambda point: (float(np.var(point)), point))


def _nominated(
    users: validation.Validation,
    valid: ValidationFiles,
    forms: Sequence[Form],
    start: int,
    num: int,
    pool_items: int,
) -> list[Lists]:
    part: dict[str, Any] = {name: values[start : start + num] for name, values in users.histories.items()}
    if valid.bags:
        part[BAG] = _bags(valid, users.user_idx[start : start + num])
    rows, seen = np.arange(num), validation.within(users.seen, start, num)
    pools = []
    for form in forms:
        everything = Eligible(form.is_trained.astype(np.int32), np.array([[0.0, 1.0]]))
        pools.append(form.ranking(everything)(part)(rows, np.zeros(num, np.int64), pool_items, seen))
    return pools


def _bags(valid: ValidationFiles, user_idx: Array) -> UserItems:
    """Bags of these users, in their order; a user without one has none."""
    rows = validation.rows_of(valid.bags, ["user_idx", "items", "weights"], user_idx)
    bags = read_bags(rows)
    number = np.searchsorted(rows["user_idx"].to_numpy(), user_idx)
    has = np.isin(user_idx, rows["user_idx"].to_numpy())
    sizes = np.zeros(len(user_idx), np.int64)
    sizes[has] = np.diff(bags.starts)[number[has]]
    return bags._replace(starts=np.concatenate([[0], np.cumsum(sizes)]))


def _save(
    blending: Blending, members: Mapping[str, str], trained: NDArray[np.bool_], folder: Path
) -> dict[str, str]:
    return blend.save(folder, blending, members, trained)
