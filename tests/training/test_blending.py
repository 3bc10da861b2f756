"""The weights of a blend: given, equal, or those with which the validation users' items come first."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_spark.errors import TrainingError
from recsys_spark.forms import folder as folders
from recsys_spark.forms import item_item
from recsys_spark.forms.item_item import ItemItem, Weighing
from recsys_spark.forms.item_tower import Columns
from recsys_spark.ranking.item_item import ItemWeights
from recsys_spark.tables import DataFile
from recsys_spark.training import blending
from recsys_spark.training.lessons import Common, Lesson, Settings, ValidationFiles

V, LENGTH, USERS = 40, 3, 24
NAMES = ("transitions", "ease")
LESSON = Lesson([], None, pa.table({}), Columns([], [], []), dt.datetime(2024, 3, 1))
INTS, FLOATS = pa.list_(pa.int32()), pa.list_(pa.float32())


def member(folder: Path, name: str, step: int, by: str) -> dict[str, Any]:
    """A row of MODELS; its one weight an item is for the item so many further on."""
    is_trained = np.arange(V) >= 2
    weights = np.zeros((V, V), np.float32)
    for item in range(2, V - step):
        weights[item, item + step] = 1.0
    matrix = ItemWeights(np.arange(V + 1) * V, np.zeros(0, np.int32), weights.reshape(-1))
    base = {"rank": 0.1, "bag": 1.0}[by]
    files = item_item.save(folder, {"step": step}, ItemItem(matrix, is_trained, Weighing(by, base)))
    return {
        "name": name, "form": "item_item", "version": f"{folder}", "files": files, "num_items": V,
        "item_index_hash": "", "members": {},
    }  # fmt: skip


def rows_of(folder: Path, steps: dict[str, tuple[int, int]]) -> list[dict[str, Any]]:
    """Both members of both roles; by role, how far on each looks."""
    return [
        {"role": role, **member(folder / role / name, name, step, by)}
        for role, both in steps.items()
        for name, step, by in zip(NAMES, both, ("rank", "bag"), strict=True)
    ]


def file(path: Path, columns: dict[str, Any]) -> list[DataFile]:
    table = pa.table(columns)
    pq.write_table(table, path)
    return [DataFile(path.as_uri(), (table.num_rows,))]


@pytest.fixture
def valid(tmp_path: Path) -> ValidationFiles:
    """Users who have one item, and then took the fifth after it."""
    user_idx = pa.array(range(2, 2 + USERS), pa.int32())
    items = [[0, 0, 2 + n] for n in range(USERS)]
    floats = pa.array([[0.0, 0.0, 1.0]] * USERS, FLOATS)
    histories = {
        "user_idx": user_idx, "items": pa.array(items, INTS), "types": pa.array(items, INTS), "values": floats,
        "gaps": pa.array([[0, 0, 0]] * USERS, INTS), "weights": floats,
    }  # fmt: skip
    one_each = pa.array([row[-1:] for row in items], INTS)
    return ValidationFiles(
        pa.table({"user_idx": user_idx, "items": pa.array([[row[-1] + 5] for row in items], INTS)}),
        file(tmp_path / "histories.parquet", histories),
        file(tmp_path / "seen.parquet", {"user_idx": user_idx, "items": one_each}),
        file(
            tmp_path / "bags.parquet",
            {"user_idx": user_idx, "items": one_each, "weights": pa.array([[1.0]] * USERS, FLOATS)},
        ),
    )


def fitting(
    rows: list[dict[str, Any]], valid: ValidationFiles | None, min_valid_users: int = 10, **section: Any
) -> Any:
    settings = Settings(LENGTH, 2, False, 100, min_valid_users, 1, 1, 1, 0, Path(), None)
    common = Common(settings, valid, None, pa.table({}), lambda version, folder: None, Path)
    return blending.fitting(rows, {"by": "ranks", "weights": "fitted", "pool_items": 10, **section}, common)


def weights_of(fitted: Any, folder: Path) -> list[float]:
    """As the folder and the manifest say."""
    fitted.save(folder)
    assert fitted.facts["weights"] == folders.load_settings(folder)["weights"]
    return list(fitted.facts["weights"])


@pytest.mark.parametrize("by", ["ranks", "scores"])
@pytest.mark.parametrize(("steps", "expected"), [((5, 1), [1.0, 0.9]), ((1, 5), [0.9, 1.0])])
def test_fitted_weights_prefer_the_member_that_is_right_and_stay_as_near_as_that_allows(
    valid: ValidationFiles, tmp_path: Path, by: str, steps: tuple[int, int], expected: list[float]
) -> None:
    fit_role = fitting(rows_of(tmp_path, {"twin": steps}), valid, by=by)
    assert weights_of(fit_role("twin", LESSON, None), tmp_path / "blend") == expected


def test_where_every_weight_is_as_good_all_are_1(valid: ValidationFiles, tmp_path: Path) -> None:
    fit_role = fitting(rows_of(tmp_path, {"twin": (5, 5)}), valid)
    assert weights_of(fit_role("twin", LESSON, None), tmp_path / "blend") == [1.0, 1.0]


def test_the_published_blend_takes_over_the_twins_weights(valid: ValidationFiles, tmp_path: Path) -> None:
    rows = rows_of(tmp_path, {"twin": (5, 1), "published": (1, 5)})  # its own would be the other way round
    fit_role = fitting(rows, valid)
    twin, published = (fit_role(role, LESSON, None) for role in ("twin", "published"))
    assert weights_of(published, tmp_path / "published blend") == weights_of(twin, tmp_path / "twin blend")
    for role, fitted in (("twin", twin), ("published", published)):
        assert fitted.members == {name: str(tmp_path / role / name) for name in NAMES}
        assert fitted.num_items == V


def test_too_few_users_weigh_all_alike_and_say_so(
    valid: ValidationFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = rows_of(tmp_path, {"twin": (5, 1)})
    too_many = fitting(rows, valid, min_valid_users=USERS + 1)("twin", LESSON, None)
    assert weights_of(too_many, tmp_path / "few") == [1.0, 1.0]
    assert f"too_few_users_to_fit_weights num={USERS}" in caplog.text
    enough = fitting(rows, valid, min_valid_users=USERS)("twin", LESSON, None)
    assert weights_of(enough, tmp_path / "enough") == [1.0, 0.9]


@pytest.mark.parametrize(("setting", "expected"), [("equal", [1.0, 1.0]), ((0.25, 2), [0.25, 2.0])])
def test_equal_and_given_weights_look_at_no_user(tmp_path: Path, setting: Any, expected: list[float]) -> None:
    fit_role = fitting(rows_of(tmp_path, {"twin": (5, 1)}), None, weights=setting)
    assert weights_of(fit_role("twin", LESSON, None), tmp_path / "blend") == expected


def test_nobody_to_fit_on_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match="no validation users to fit weights on; set blend.weights to equal"
    ):
        fitting(rows_of(tmp_path, {"twin": (5, 1)}), None)("twin", LESSON, None)


@pytest.mark.parametrize("num_members", [2, 3, 4])
def test_the_grid_begins_with_equal_weights_and_its_greatest_is_always_1(num_members: int) -> None:
    points = blending.grid(num_members)
    assert points[0] == (1.0,) * num_members
    assert {max(point) for point in points} == {1.0} and min(map(min, points)) == 0.0
    assert len(set(points)) == len(points)
