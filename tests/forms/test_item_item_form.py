"""The form `item_item`: what the items of a user weigh, its folder, its reasons and its memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_spark.errors import BadDataError
from recsys_spark.forms import folder as folders
from recsys_spark.forms import item_item
from recsys_spark.forms.form import BAG, Eligible, Size
from recsys_spark.forms.item_item import ItemItem, Weighing, weighed
from recsys_spark.ranking import left_out
from recsys_spark.ranking.item_item import ItemWeights, UserItems

MATRIX = ItemWeights(
    np.array([0, 0, 0, 2, 2, 4, 4]),
    np.array([3, 5, 2, 3], np.int32),
    np.array([1, 3, 3.5, 0.5], np.float32),
)
TRAINED = np.array([False, False, True, True, True, True])
FORM = ItemItem(MATRIX, TRAINED, Weighing("rank", 0.5))
SETTINGS = {"max_lag": 3, "lag_decay": 0.5}
FILES = [item_item.STARTS, item_item.NEIGHBOURS, item_item.WEIGHTS, folders.TRAINED_ITEMS, folders.SETTINGS]
ALL = Eligible(TRAINED.astype(np.int32), np.array([[0.0, 1.0]]))


def by_history(items: Any, weighing: Weighing, **columns: Any) -> list[list[float]]:
    users = {"items": np.array(items), **{name: np.array(rows) for name, rows in columns.items()}}
    of_users = weighed(users, weighing)
    assert of_users.items.tolist() == users["items"].reshape(-1).tolist()
    return of_users.weights.reshape(users["items"].shape).tolist()


def test_a_history_weighs_less_the_older_and_a_pad_nothing() -> None:
    items = [[0, 0, 5, 1, 6], [2, 3, 4, 5, 6], [0, 0, 0, 0, 0]]
    assert by_history(items, Weighing("rank", 0.5)) == [
        [0, 0, 0.25, 0.5, 1], [0.0625, 0.125, 0.25, 0.5, 1], [0, 0, 0, 0, 0]
    ]  # fmt: skip
    assert by_history(items[:1], Weighing("rank", 1)) == [[0, 0, 1, 1, 1]]


def test_by_age_an_event_weighs_by_its_days_before_the_newest_one() -> None:
    day = 86_400
    items, gaps = [[0, 4, 5, 6], [2, 3, 4, 5]], [[0, 0, 2 * day, day], [0, 0, 0, day // 2]]
    got = by_history(items, Weighing("age", 0.5), gaps=gaps)
    assert got[0] == [0, 0.125, 0.5, 1]
    assert got[1] == pytest.approx([0.5**0.5] * 3 + [1])


def test_gaps_together_longer_than_an_integer_holds_still_add_up() -> None:
    gaps = np.full((1, 4), 2**31 - 1, np.int32)
    years = (2**31 - 1) / 86_400 / 365.25
    got = by_history([[2, 3, 4, 5]], Weighing("age", 0.5 ** (1 / 365.25)), gaps=gaps)
    assert got[0] == pytest.approx([0.5 ** (n * years) for n in (3, 2, 1, 0)])


@pytest.mark.parametrize(("power", "expected"), [(1, [4, 9, 1]), (0.5, [2, 3, 1]), (0, [1, 1, 1])])
def test_in_a_bag_an_item_weighs_a_power_of_its_weight(power: float, expected: list[float]) -> None:
    bags = UserItems(np.array([0, 2, 3]), np.array([2, 3, 4]), np.array([4, 9, 1], np.float32), True)
    got = weighed({BAG: bags}, Weighing("bag", power))
    assert got.weights.tolist() == expected
    assert (got.starts.tolist(), got.items.tolist(), got.is_distinct) == ([0, 2, 3], [2, 3, 4], True)


def test_bags_are_ranked_and_explained_by_their_weights() -> None:
    bags = UserItems(np.array([0, 2, 3]), np.array([2, 4, 4]), np.array([4, 1, 1], np.float32), True)
    users, group, rows = {BAG: bags}, np.zeros(2, int), np.arange(2)
    form = replace(FORM, weighing=Weighing("bag", 1))
    lists = form.ranking(ALL)(users)(rows, group, 3, None)
    assert lists.item_idx.tolist() == [[5, 3, 2], [2, 3, 0]]
    assert lists.scores.tolist() == [[12, 4.5, 3.5], [3.5, 0.5, 0]]
    reasons = form.explaining(ALL, 2, False)(users, group, left_out.NONE, lists)
    assert reasons.item_idx[0].tolist() == [[2, 0], [2, 4], [4, 0]]
    assert reasons.scores[0].tolist() == [[12, 0], [4, 0.5], [3.5, 0]]
    some = form.ranking(ALL)(users)(rows[1:], group[1:], 3, None)
    assert some.item_idx.tolist() == [[2, 3, 0]]


def test_what_is_loaded_is_what_was_saved_and_lies_in_the_file(tmp_path: Path) -> None:
    files = item_item.save(tmp_path, SETTINGS, FORM)
    assert sorted(files) == sorted(FILES) == sorted(path.name for path in tmp_path.iterdir())
    folders.verify(tmp_path, files)
    loaded = item_item.load(tmp_path)
    for name, array in vars(MATRIX).items():
        np.testing.assert_array_equal(getattr(loaded.matrix, name), array)
    np.testing.assert_array_equal(loaded.is_trained, TRAINED)
    assert loaded.weighing == FORM.weighing
    assert isinstance(loaded.matrix.weights, np.memmap) and isinstance(loaded.matrix.neighbours, np.memmap)
    assert folders.load_settings(tmp_path) == {**SETTINGS, "weighing": {"by": "rank", "base": 0.5}}


def test_the_version_covers_all_that_the_form_is(tmp_path: Path) -> None:
    def version(name: str, form: ItemItem = FORM, **settings: Any) -> str:
        return folders.version_of(item_item.save(tmp_path / name, {**SETTINGS, **settings}, form))

    same = version("one")
    assert version("two") == same
    fewer = ItemWeights(np.array([0, 0, 0, 2, 2, 3, 3]), MATRIX.neighbours[:3], MATRIX.weights[:3])
    others = [
        version("three", replace(FORM, matrix=replace(MATRIX, weights=MATRIX.weights + 1))),
        version("four", replace(FORM, matrix=fewer)),
        version("five", replace(FORM, weighing=Weighing("rank", 0.6))),
        version("six", replace(FORM, weighing=Weighing("age", 0.5))),
        version("seven", max_lag=4),
        version("eight", replace(FORM, is_trained=TRAINED ^ (np.arange(6) == 5))),
    ]
    assert len({same, *others}) == 7


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_or_changed_is_named(tmp_path: Path, name: str) -> None:
    files = item_item.save(tmp_path, SETTINGS, FORM)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadDataError, match=f"{name}: sha256 expected"):
        folders.verify(tmp_path, files)
    with pytest.raises(BadDataError, match=f"{name}: cannot be read"):
        item_item.load(tmp_path)


def test_the_weights_between_items_are_shared_by_the_workers_of_a_machine(tmp_path: Path) -> None:
    num = 100_000
    matrix = ItemWeights(
        np.linspace(0, num, 7).astype(int), np.zeros(num, np.int32), np.ones(num, np.float32)
    )
    item_item.save(tmp_path, SETTINGS, replace(FORM, matrix=matrix))
    got = item_item.needs(tmp_path, Size(256, 20, 256 * 20, 50))
    assert num * 8 <= got.shared < num * 8 + 1000
    assert (got.runtime, got.reserved, got.beside) == (0, 0, 0)
    assert 9 * 6 <= got.ranking < 1000  # a sum and a mark of each item
