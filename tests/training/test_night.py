"""What becomes of both roles of a recommender, whatever fits them."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from recsys_spark.forms import folder as folders
from recsys_spark.forms.item_tower import Columns
from recsys_spark.scoring.index_hash import prefix_hash
from recsys_spark.training import night
from recsys_spark.training.lessons import Lesson
from recsys_spark.training.night import Fitted, state_version

ENDS = {"twin": dt.datetime(2024, 2, 16), "published": dt.datetime(2024, 3, 2)}
LESSONS = {role: Lesson([], None, pa.table({}), Columns([], [], []), end) for role, end in ENDS.items()}
INDEX = pa.table({"item_idx": pa.array([2, 3, 4], pa.int32()), "item_id": ["a", "b", "c"]})


class Kept(dict[str, dict[str, str]]):
    """What was kept: texts by file name, by version."""

    def __call__(self, version: str, folder: Path) -> None:
        self[version] = {path.name: path.read_text() for path in folder.iterdir()}


def saving(text: str) -> Any:
    return lambda folder: folders.save_json(folder, "model.json", {"text": text})


def fitted(role: str, **more: Any) -> Fitted:
    return Fitted(4, saving(role), {"figure": role}, **more)


def test_each_role_is_a_row_whose_version_names_the_folder_that_was_kept() -> None:
    kept = Kept()
    rows = night.train("ease", LESSONS, lambda role, lesson, epochs: fitted(role), INDEX, kept)
    assert [(row["role"], row["name"], row["form"], row["learns_from"]) for row in rows] == [
        ("twin", "ease", "item_item", "bags"), ("published", "ease", "item_item", "bags")
    ]  # fmt: skip
    for row in rows:
        assert row["data_end"] == ENDS[row["role"]]
        assert row["version"] == folders.version_of(row["files"])
        assert json.loads(kept[row["version"]]["model.json"]) == {"text": row["role"]}
        assert (row["num_items"], row["item_index_hash"]) == (4, prefix_hash([(2, "a"), (3, "b")], 4))
        assert json.loads(row["manifest"]) == {"figure": row["role"]}
        assert (row["epochs"], row["start_version"], row["members"], row["state_files"]) == (
            None,
            None,
            {},
            {},
        )
    assert len(kept) == 2


def test_the_published_model_is_trained_as_many_epochs_as_the_twin_chose() -> None:
    asked = []

    def fit_role(role: str, lesson: Lesson, epochs: int | None) -> Fitted:
        asked.append((role, lesson.data_end, epochs))
        return fitted(role, epochs=7 if epochs is None else epochs, start_version=f"{role}'s")

    rows = night.train("self_attention", LESSONS, fit_role, INDEX, Kept())
    assert asked == [("twin", ENDS["twin"], None), ("published", ENDS["published"], 7)]
    assert [(row["epochs"], row["start_version"]) for row in rows] == [(7, "twin's"), (7, "published's")]


def test_what_a_warm_start_reads_is_kept_beside_the_model_and_no_part_of_its_version() -> None:
    plain, kept = Kept(), Kept()
    [row] = night.train("self_attention", {"twin": LESSONS["twin"]}, lambda *_: fitted("twin"), INDEX, plain)
    state = fitted("twin", save_state=saving("state"))
    [with_state] = night.train("self_attention", {"twin": LESSONS["twin"]}, lambda *_: state, INDEX, kept)
    assert with_state["version"] == row["version"]
    assert with_state["files"] == row["files"]
    assert json.loads(kept[state_version(row["version"])]["model.json"]) == {"text": "state"}
    assert list(with_state["state_files"]) == ["model.json"]


def test_a_worker_that_is_not_the_chief_fits_both_roles_and_keeps_nothing() -> None:
    roles = []

    def fit_role(role: str, lesson: Lesson, epochs: int | None) -> Fitted:
        roles.append(role)
        return fitted(role)

    assert night.train("self_attention", LESSONS, fit_role, INDEX, None) == []
    assert roles == ["twin", "published"]


def test_a_failure_to_fit_leaves_the_error_as_it_is() -> None:
    def fit_role(role: str, lesson: Lesson, epochs: int | None) -> Fitted:
        raise KeyError(role)

    with pytest.raises(KeyError, match="twin"):
        night.train("ease", LESSONS, fit_role, INDEX, Kept())
