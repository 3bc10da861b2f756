"""Rows of weights: how counts become them, and that a folder keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_spark.errors import BadDataError
from recsys_spark.models import artifacts, transitions
from recsys_spark.models.transitions import Transitions

PAIRS = np.array([[4, 3, 2], [2, 5, 12], [4, 2, 14], [2, 3, 4]])  # item, next item, count
TRAINED = np.array([False, False, True, True, True, True])
SETTINGS = {"max_lag": 3, "lag_decay": 0.5}
FILES = [
    transitions.STARTS,
    transitions.NEIGHBOURS,
    transitions.WEIGHTS,
    "trained_items.npy",
    "settings.json",
]


def fit(pairs: Any = PAIRS, row_power: float = 0.5, history_decay: float = 0.5) -> Transitions:
    return transitions.fit(*np.asarray(pairs).T, TRAINED, row_power, history_decay)


def test_rows_stand_by_item_and_next_item_and_are_divided_by_a_power_of_their_sum() -> None:
    made = fit()
    assert made.starts.tolist() == [0, 0, 0, 2, 2, 4, 4]
    assert made.neighbours.tolist() == [3, 5, 2, 3]
    assert made.weights.tolist() == [1, 3, 3.5, 0.5]  # 4 and 12 over 4, 14 and 2 over 4
    assert fit(row_power=0).weights.tolist() == [4, 12, 14, 2]
    assert fit(row_power=1).weights.tolist() == [0.25, 0.75, 0.875, 0.125]
    assert (made.starts.dtype, made.neighbours.dtype, made.weights.dtype) == (np.int64, np.int32, np.float32)


def test_the_order_of_the_pairs_does_not_matter() -> None:
    for one, other in zip(vars(fit()).values(), vars(fit(PAIRS[::-1])).values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_sums_beyond_what_a_double_holds_are_exact() -> None:
    made = fit([[2, 3, 2**60 + 1], [2, 4, 2**60], [3, 4, 3]], row_power=1)
    assert made.weights.tolist() == [0.5, 0.5, 1.0]


def test_without_a_pair_every_row_is_empty() -> None:
    made = fit(np.zeros((0, 3), np.int64))
    assert made.starts.tolist() == [0] * 7
    assert len(made.neighbours) == len(made.weights) == 0


def test_a_history_weighs_less_the_older_and_a_pad_nothing() -> None:
    items = np.array([[0, 0, 5, 1, 6], [2, 3, 4, 5, 6], [0, 0, 0, 0, 0]])
    assert transitions.history_weights(items, 0.5).tolist() == [
        [0, 0, 0.25, 0.5, 1], [0.0625, 0.125, 0.25, 0.5, 1], [0, 0, 0, 0, 0]
    ]  # fmt: skip
    assert transitions.history_weights(items[:1], 1).tolist() == [[0, 0, 1, 1, 1]]


def test_what_is_loaded_is_what_was_saved_and_lies_in_the_file(tmp_path: Path) -> None:
    _, files = transitions.save(tmp_path, SETTINGS, fit())
    assert sorted(files) == sorted(FILES) == sorted(path.name for path in tmp_path.iterdir())
    artifacts.verify(tmp_path, files)
    loaded = transitions.load(tmp_path)
    for name, array in vars(fit()).items():
        np.testing.assert_array_equal(getattr(loaded, name), array)
    assert isinstance(loaded.weights, np.memmap) and isinstance(loaded.neighbours, np.memmap)
    assert artifacts.load_settings(tmp_path) == {**SETTINGS, "history_decay": 0.5}


def test_the_version_covers_every_file(tmp_path: Path) -> None:
    def version(name: str, model: Transitions, **settings: Any) -> str:
        return transitions.save(tmp_path / name, {**SETTINGS, **settings}, model)[0]

    same = version("one", fit())
    assert version("two", fit()) == same
    assert len(same) == 64
    one_less = Transitions(**{**vars(fit()), "trained_items": TRAINED ^ (np.arange(6) == 5)})
    others = [
        version("three", fit(np.add(PAIRS, [0, 0, 1]))),
        version("four", fit(PAIRS[:3])),
        version("five", fit(history_decay=0.6)),
        version("six", fit(), max_lag=4),
        version("seven", one_less),
    ]
    assert len({same, *others}) == 6


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_or_changed_is_named(tmp_path: Path, name: str) -> None:
    _, files = transitions.save(tmp_path, SETTINGS, fit())
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadDataError, match=f"{name}: sha256 expected"):
        artifacts.verify(tmp_path, files)
    with pytest.raises(BadDataError, match=f"{name}: cannot be read"):
        transitions.load(tmp_path)
