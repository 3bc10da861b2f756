"""Start tonight's training from last night's weights: the twin from the twin, the published from the published.

Item numbers never change, so the rows of last night's items keep their places and new items follow, as
initialised. Feature columns may change from night to night: their rows go by name.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys_spark.errors import TrainingError
from recsys_spark.forms import folder as folders
from recsys_spark.forms import vectors
from recsys_spark.networks.network import Network, named
from recsys_spark.scoring import index_hash
from recsys_spark.training.lessons import Earlier, Lesson
from recsys_spark.training.night import state_version
from recsys_spark.training.optimizers import Optimizer

log = logging.getLogger(__name__)

SLOTS, STATE = (
    "optimizer.safetensors",
    "state.json",
)  # in a folder beside the model's: only a warm start reads it
Arrays = Mapping[str, npt.NDArray[Any]]


class Start(NamedTuple):
    """An earlier model and the state its training ended in.

    Attributes:
        settings: of the network.
        slots: of the optimizer, by the variable's name and the slot's.
        state: optimizer, feature_names, and cold_start as `reached` gave it.
    """

    version: str
    run_date: dt.date
    settings: Mapping[str, Any]
    weights: Arrays
    slots: Arrays
    state: Mapping[str, Any]


def start(earlier: Earlier, name: str, role: str, lesson: Lesson) -> Start | None:
    """The newest model of an earlier run date with this name and role; None when there is none.

    Args:
        lesson: a model that learnt from events after its end is refused.

    Raises:
        TrainingError: the model learnt from events after the cut, its item numbers are not a prefix of
            today's, or it was stored without the state of its training.
        BadDataError: a file of the model is missing or changed.
    """
    rows = [
        row
        for row in earlier.models.to_pylist()
        if (row["name"], row["role"]) == (name, role) and row["run_date"] < earlier.run_date
    ]
    if not rows:
        log.info(
            "cold_start name=%s role=%s run_date=%s reason=no_earlier_model", name, role, earlier.run_date
        )
        return None
    row = max(rows, key=lambda row: row["run_date"])
    where = f"warm start of the {role} model: model {row['version'][:12]} of {row['run_date']}"
    instead = "set train.warm_start to false for one night"
    if (end := row["data_end"].replace(tzinfo=dt.UTC)) > lesson.data_end:
        raise TrainingError(
            f"{where}: learnt from events up to {end}, expected none after {lesson.data_end}; {instead}"
        )
    num_items, expected = row["num_items"], row["item_index_hash"]
    if (got := index_hash.prefix_hash(earlier.item_ids, num_items)) != expected:
        raise TrainingError(
            f"{where}: its {num_items} item numbers are not a prefix of item_index (expected {expected[:12]}, "
            f"got {got[:12]}); restore the index, or {instead}"
        )
    state_files = dict(row["state_files"] or {})
    if not state_files:
        raise TrainingError(f"{where}: was stored without the optimizer's state; {instead}")
    folder, state = earlier.get(row["version"]), earlier.get(state_version(row["version"]))
    folders.verify(folder, dict(row["files"]))
    folders.verify(state, state_files)
    log.info(
        "warm_start name=%s role=%s from_run_date=%s from_version=%s",
        name,
        role,
        row["run_date"],
        row["version"],
    )
    return Start(
        row["version"],
        row["run_date"],
        folders.load_settings(folder),
        folders.load_arrays(folder / vectors.WEIGHTS),
        folders.load_arrays(state / SLOTS),
        folders.load_json(state, STATE),
    )


def save_state(
    network: Network, optimizer: Optimizer, state: Mapping[str, Any], folder: Path
) -> dict[str, str]:
    """Write what `start` reads beside the model; returns each file's sha256 by name."""
    slots = {slot: np.asarray(array) for slot, array in slots_of(optimizer, network).items()}
    return folders.save_arrays(folder, SLOTS, slots) | folders.save_json(folder, STATE, state)


def apply(
    earlier: Start, network: Network, optimizer: Optimizer, optimizer_name: str, feature_names: Sequence[str]
) -> None:
    """Give the network the earlier weights and the optimizer its slots; rows new tonight keep their start.

    Args:
        feature_names: of the columns of the network's item features.

    Raises:
        TrainingError: the trainings differ in what the arrays mean.
    """
    now = {name: getattr(network.settings, name) for name in network.shapes} | {"optimizer": optimizer_name}
    then = {**earlier.settings, "optimizer": earlier.state["optimizer"]}
    if other := [name for name in now if now[name] != then.get(name)]:
        faults = ", ".join(f"{name} {then.get(name)}, now {now[name]}" for name in other)
        raise TrainingError(
            f"warm start: model {earlier.version[:12]} of {earlier.run_date} has {faults}; set "
            "train.warm_start to false for one night"
        )
    known = {name: column for column, name in enumerate(earlier.state["feature_names"])}
    same = [(known[name], column) for column, name in enumerate(feature_names) if name in known]
    features = np.array(same, np.int64).reshape(-1, 2).T
    for name, variable in named(network).items():
        _carry(earlier.weights[name], variable, features if name in network.feature_rows else None)
    for name, slot in slots_of(optimizer, network).items():
        is_of_features = name.rpartition(".")[0] in network.feature_rows
        _carry(earlier.slots[name], slot, features if is_of_features else None)


def slots_of(optimizer: Optimizer, network: Network) -> dict[str, Any]:
    """The optimizer's variables by name: `steps`, and `<variable>.<number>` for each slot of a variable."""
    slots = {
        f"{name}.{i}": slot
        for name, of_name in zip(named(network), optimizer.slots, strict=True)
        for i, slot in enumerate(of_name)
    }
    return {"steps": optimizer.variables[0], **slots}


def reached(
    earlier: Start | None, epochs: Sequence[Mapping[str, float]], start_ndcg: float | None, num_steps: int
) -> dict[str, Any]:
    """What the last cold start needed for its NDCG, and what tonight needed for it.

    `cold_start` holds ndcg and steps of the last training from random weights, and is handed on from
    night to night; `warm_start` says where tonight started, and `steps`, 0 when the start was as good
    already, or null when that NDCG was not reached. The nights' validation users differ, so the two
    are near each other and not the same measurement.

    Args:
        epochs: the log of the training.
        num_steps: of an epoch.
    """
    if earlier is None:
        judged = [entry for entry in epochs if "ndcg" in entry]
        if not judged:
            return {}
        best = max(judged, key=lambda entry: entry["ndcg"])
        return {"cold_start": {"ndcg": best["ndcg"], "steps": int(best["epoch"]) * num_steps}}
    facts: dict[str, Any] = {"from_run_date": str(earlier.run_date), "from_version": earlier.version}
    cold = earlier.state.get("cold_start")
    if cold is None or start_ndcg is None:
        return {"warm_start": facts}
    steps = [(0, start_ndcg), *((int(e["epoch"]) * num_steps, e["ndcg"]) for e in epochs)]
    facts["start_ndcg"] = start_ndcg
    facts["steps"] = next((step for step, ndcg in steps if ndcg >= cold["ndcg"]), None)
    log.info("warm_start_saved cold_steps=%s warm_steps=%s", cold["steps"], facts["steps"])
    return {"warm_start": facts, "cold_start": cold}


def _carry(array: npt.NDArray[Any], variable: Any, rows: npt.NDArray[np.int64] | None) -> None:
    """Assign the array, or its rows `rows[0]` to the variable's rows `rows[1]`; None: its first rows."""
    if rows is None and tuple(variable.shape) == array.shape:
        variable.assign(array)
        return
    taken, places = (np.arange(len(array)),) * 2 if rows is None else rows
    grown = np.asarray(variable).copy()
    grown[places] = array[taken]
    variable.assign(grown)
