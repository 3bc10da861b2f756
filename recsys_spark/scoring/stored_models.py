"""Which of the lake's models may fill lists."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from recsys_spark import models
from recsys_spark.errors import TrainingError
from recsys_spark.scoring import index_hash

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredModel:
    """A row of MODELS, and how a process gets a local copy of its folder.

    Attributes:
        run_date: None: tonight's, on its way into the table.
        members: of a blend, in the order of its weights; else none.
    """

    name: str
    form: str
    version: str
    run_date: dt.date | None
    files: dict[str, str]
    num_items: int
    item_index_hash: str
    fetch: Callable[[str], Path]
    members: tuple[StoredModel, ...] = ()


class Wanted(NamedTuple):
    """Which model of a name may be used.

    Attributes:
        role: twin | published.
        run_date: of tonight; a model of a later run date is passed over.
        max_age_days: from the model's run date to `run_date`, inclusive.
        data_end: exclusive end of what the lists may know; a model that learnt from later events is passed over.
        split: of the cut that lists are judged on: a twin of another one has seen the answers. None: nothing is judged.
    """

    role: str
    run_date: dt.date
    max_age_days: int
    data_end: dt.datetime
    split: str | None


def newest(
    rows: pa.Table,
    recommenders: Sequence[str],
    wanted: Wanted,
    item_ids: Sequence[tuple[int, str]],
    fetch: Callable[[str], Path],
) -> StoredModel | None:
    """The model of these recommenders, or of their blend, of the latest run date; None when there is none.

    Args:
        rows: of MODELS.
        recommenders: those set; a blend of others is passed over.
        item_ids: the pairs (item_idx, item_id) of ITEM_INDEX.
        fetch: gives the local folder of a version.

    Raises:
        TrainingError: the model's index is not a prefix of today's.
    """
    name = models.ranked_by(recommenders)
    if name == models.POPULARITY:
        return None
    learning = models.trained(recommenders)
    oldest = wanted.run_date - dt.timedelta(days=wanted.max_age_days)
    stored = rows.to_pylist()
    usable = [
        row
        for row in stored
        if row["name"] == name
        and row["role"] == wanted.role
        and oldest <= row["run_date"] <= wanted.run_date
        and _utc(row["data_end"]) <= _utc(wanted.data_end)
        and wanted.split in (None, row["split"])
        and (name != models.BLEND or [member for member, _ in row["members"]] == learning)
    ]
    if not usable:
        log.info(
            "no_model name=%s role=%s run_date=%s max_age_days=%d split=%s",
            name, wanted.role, wanted.run_date, wanted.max_age_days, wanted.split,
        )  # fmt: skip
        return None
    row = max(usable, key=lambda row: row["run_date"])
    log.info(
        "model_chosen name=%s role=%s run_date=%s version=%s",
        name,
        wanted.role,
        row["run_date"],
        row["version"],
    )
    model = of_row(row, fetch, stored)
    refuse_another_index(model, item_ids)
    return model


def of_row(
    row: Mapping[str, Any], fetch: Callable[[str], Path], rows: Iterable[Mapping[str, Any]] = ()
) -> StoredModel:
    """The model of a row of MODELS.

    Args:
        fetch: gives the local folder of a version.
        rows: of MODELS, those of a blend's members among them.
    """
    known = {(other["name"], other["version"]): other for other in rows}
    return StoredModel(
        row["name"],
        row["form"],
        row["version"],
        row.get("run_date"),
        dict(row["files"]),
        row["num_items"],
        row["item_index_hash"],
        fetch,
        tuple(of_row(known[member], fetch) for member in dict(row["members"]).items()),
    )


def refuse_another_index(model: StoredModel, item_ids: Sequence[tuple[int, str]]) -> None:
    """Compare the items the model learnt with the same numbers of today's index.

    Args:
        item_ids: the pairs (item_idx, item_id) of ITEM_INDEX.

    Raises:
        TrainingError: the model's index is not a prefix of today's.
    """
    got = index_hash.prefix_hash(item_ids, model.num_items)
    if got != model.item_index_hash:
        raise TrainingError(
            f"model {model.name} {model.version[:12]} of {model.run_date}: its {model.num_items} item numbers "
            f"are not a prefix of item_index (expected {model.item_index_hash[:12]}, got "
            f"{got[:12]}); train again or restore the index"
        )


def reads(model: StoredModel | None, rerank_by: str) -> tuple[str, ...]:
    """What ranking by the model reads of a user, as `models.Recommender.reads`; nothing for popularity.

    Args:
        rerank_by: as in `rules.Rerank`.
    """
    if model is None:
        return ()
    every = [name for part in (model.members or (model,)) for name in models.ALL[part.name].reads]
    if rerank_by == "calibration":
        every += ["items", "weights"]
    return tuple(dict.fromkeys(every))


def _utc(at: dt.datetime) -> dt.datetime:
    return at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at
