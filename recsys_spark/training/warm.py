"""Start tonight's training from last night's weights: the twin from the twin, the published from the published.

Item numbers never change, so the rows of last night's items keep their places and new items follow, as
initialised. Feature columns may change from night to night: their rows go by name.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys_spark.errors import TrainingError
from recsys_spark.models import artifacts
from recsys_spark.models import self_attention_network as nets
from recsys_spark.models.self_attention import NAME
from recsys_spark.training import index_hash
from recsys_spark.training.data import Earlier, Settings
from recsys_spark.training.optimizers import Optimizer

log = logging.getLogger(__name__)

SAME = ("history_length", "num_types", "embedding_dim", "num_blocks", "num_heads", "optimizer")
Arrays = Mapping[str, npt.NDArray[Any]]


class Start(NamedTuple):
    """An earlier model and the state its training ended in.

    Attributes:
        slots: of the optimizer, by the variable's name and the slot's.
        manifest: of the earlier model.
    """

    version: str
    run_date: dt.date
    weights: Arrays
    slots: Arrays
    manifest: Mapping[str, Any]


def start(earlier: Earlier, role: str, data_end: dt.datetime, ids: Sequence[tuple[int, str]]) -> Start | None:
    """The newest model of an earlier run date with this role; None when there is none.

    Args:
        data_end: the cut: a model that learnt from later events is refused.
        ids: (item_idx, item_id) of the index, at least those of the model.

    Raises:
        TrainingError: the model learnt from events after the cut, its item numbers are not a prefix of
            today's, or it was stored without the state of its training.
        BadDataError: a file of the model is missing or changed.
    """
    rows = [
        row
        for row in earlier.models.to_pylist()
        if (row["name"], row["role"]) == (NAME, role) and row["run_date"] < earlier.run_date
    ]
    if not rows:
        log.info("cold_start role=%s run_date=%s reason=no_earlier_model", role, earlier.run_date)
        return None
    row = max(rows, key=lambda row: row["run_date"])
    manifest = json.loads(row["manifest"])
    where = f"warm start of the {role} model: model {row['version'][:12]} of {row['run_date']}"
    instead = "set train.warm_start to false for one night"
    if (end := row["data_end"].replace(tzinfo=dt.UTC)) > data_end:
        raise TrainingError(
            f"{where}: learnt from events up to {end}, expected none after {data_end}; {instead}"
        )
    num_items, expected = manifest["num_items"], manifest["item_index_hash"]
    if (got := index_hash.prefix_hash(ids, num_items)) != expected:
        raise TrainingError(
            f"{where}: its {num_items} item numbers are not a prefix of item_index (expected {expected[:12]}, "
            f"got {got[:12]}); restore the index, or {instead}"
        )
    if "optimizer_files" not in manifest:
        raise TrainingError(f"{where}: was stored without the optimizer's state; {instead}")
    folder, state = earlier.get(row["version"]), earlier.get(state_version(row["version"]))
    artifacts.verify(folder, dict(row["files"]))
    artifacts.verify(state, manifest["optimizer_files"])
    log.info("warm_start role=%s from_run_date=%s from_version=%s", role, row["run_date"], row["version"])
    return Start(
        row["version"],
        row["run_date"],
        artifacts.load_weights(folder),
        artifacts.load_arrays(state / artifacts.OPTIMIZER),
        manifest,
    )


def state_version(version: str) -> str:
    """The name under which the lake keeps the optimizer's state of a model."""
    return f"{version}-optimizer"


def apply(
    earlier: Start,
    network: nets.SelfAttention,
    optimizer: Optimizer,
    settings: Settings,
    feature_names: Sequence[str],
) -> None:
    """Give the network the earlier weights and the optimizer its slots; rows new tonight keep their start.

    Args:
        feature_names: of the columns of the network's item features.

    Raises:
        TrainingError: the trainings differ in what the arrays mean.
    """
    now, then = settings._asdict(), earlier.manifest["settings"]
    if other := [name for name in SAME if now[name] != then[name]]:
        faults = ", ".join(f"{name} {then[name]}, now {now[name]}" for name in other)
        raise TrainingError(
            f"warm start: model {earlier.version[:12]} of {earlier.run_date} has {faults}; set "
            "train.warm_start to false for one night"
        )
    known = {name: place for place, name in enumerate(earlier.manifest["feature_names"])}
    same = [(known[name], place) for place, name in enumerate(feature_names) if name in known]
    features = np.array(same, np.int64).reshape(-1, 2).T
    for name, variable in nets.named(network).items():
        _carry(earlier.weights[name], variable, features if name == nets.FEATURE_PROJECTION else None)
    for name, slot in slots_of(optimizer, network).items():
        is_of_features = name.startswith(f"{nets.FEATURE_PROJECTION}.")
        _carry(earlier.slots[name], slot, features if is_of_features else None)


def slots_of(optimizer: Optimizer, network: nets.SelfAttention) -> dict[str, Any]:
    """The optimizer's variables by name: `steps`, and `<variable>.<number>` for each slot of a variable."""
    names = nets.named(network)
    slots = {
        f"{n}.{i}": s for n, of_n in zip(names, optimizer.slots, strict=True) for i, s in enumerate(of_n)
    }
    return {"steps": optimizer.variables[0], **slots}


def saved(
    earlier: Start | None, epochs: Sequence[Mapping[str, float]], start_ndcg: float | None, num_steps: int
) -> dict[str, Any]:
    """Facts for the manifest: what the last cold start needed for its NDCG, and what tonight needed for it.

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
    cold = earlier.manifest.get("cold_start")
    if cold is None or start_ndcg is None:
        return {"warm_start": facts}
    reached = [(0, start_ndcg), *((int(e["epoch"]) * num_steps, e["ndcg"]) for e in epochs)]
    facts["start_ndcg"] = start_ndcg
    facts["steps"] = next((steps for steps, ndcg in reached if ndcg >= cold["ndcg"]), None)
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
