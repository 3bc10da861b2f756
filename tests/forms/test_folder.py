"""A model's folder is what was saved, or names the file that is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recsys_spark.errors import BadDataError
from recsys_spark.forms import folder as folders

ROWS, TRAINED = np.arange(12, dtype=np.float32).reshape(4, 3), np.array([False, False, True, True])
WEIGHTS, NOTES, ARRAY = "weights.safetensors", "notes.json", "rows.npy"
FILES = [folders.SETTINGS, folders.TRAINED_ITEMS, ARRAY, WEIGHTS, NOTES]


def save(folder: Path, weight: float = 1.0, note: str = "a", rows: np.ndarray = ROWS) -> dict[str, str]:
    weights = {"b": np.array([weight], np.float32), "a": np.eye(2, dtype=np.float32).T}
    files = folders.save(folder, {"num_items": 4}, {ARRAY: rows, folders.TRAINED_ITEMS: TRAINED})
    return (
        files
        | folders.save_arrays(folder, WEIGHTS, weights)
        | folders.save_json(folder, NOTES, {"note": note})
    )


def test_what_is_loaded_is_what_was_saved(tmp_path: Path) -> None:
    assert sorted(save(tmp_path)) == sorted(FILES) == sorted(path.name for path in tmp_path.iterdir())
    assert folders.load_settings(tmp_path) == {"num_items": 4}
    assert folders.load_json(tmp_path, NOTES) == {"note": "a"}
    np.testing.assert_array_equal(folders.load_trained_items(tmp_path), TRAINED)
    weights = folders.load_arrays(tmp_path / WEIGHTS)
    np.testing.assert_array_equal(weights["b"], [1])
    np.testing.assert_array_equal(weights["a"], np.eye(2))
    assert list(folders.load_arrays(tmp_path / WEIGHTS, left_out=["b"])) == ["a"]


def test_an_array_is_a_memory_map_unless_it_is_asked_for_whole(tmp_path: Path) -> None:
    save(tmp_path)
    mapped, whole = (folders.load_array(tmp_path / ARRAY, is_mapped=is_mapped) for is_mapped in (True, False))
    np.testing.assert_array_equal(mapped, ROWS)
    np.testing.assert_array_equal(whole, ROWS)
    assert isinstance(mapped, np.memmap) and not isinstance(whole, np.memmap)


def test_the_version_covers_every_file_and_is_the_same_for_the_same_files(tmp_path: Path) -> None:
    def version(name: str, **other: object) -> str:
        return folders.version_of(save(tmp_path / name, **other))

    same = version("one")
    assert version("two") == same
    assert len(same) == 64
    others = [
        version("three", weight=2.0),
        version("four", note="b"),
        version("five", rows=ROWS + 1),
        folders.version_of(save(tmp_path / "six") | folders.save_json(tmp_path / "six", "more.json", {})),
    ]
    assert len({same, *others}) == 5


def test_a_files_name_is_part_of_the_version_and_their_order_is_not() -> None:
    files = {"a": "1" * 64, "b": "2" * 64}
    assert folders.version_of(files) == folders.version_of(dict(reversed(files.items())))
    assert folders.version_of(files) != folders.version_of({"a": "2" * 64, "b": "1" * 64})


def test_an_untouched_folder_is_accepted(tmp_path: Path) -> None:
    folders.verify(tmp_path, save(tmp_path))


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_cut_short_or_changed_is_named(tmp_path: Path, name: str) -> None:
    files = save(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-1])
    with pytest.raises(BadDataError, match=f"{name}: sha256 expected"):
        folders.verify(tmp_path, files)
    (tmp_path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BadDataError, match=name):
        folders.verify(tmp_path, files)
    (tmp_path / name).unlink()
    with pytest.raises(BadDataError, match=f"{name}: missing"):
        folders.verify(tmp_path, files)


def test_weights_cut_short_are_one_clear_line(tmp_path: Path) -> None:
    save(tmp_path)
    path = tmp_path / WEIGHTS
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(BadDataError, match=r"weights\.safetensors: cannot be read"):
        folders.load_arrays(path)


@pytest.mark.parametrize("name", [folders.SETTINGS, NOTES])
def test_settings_that_are_no_json_are_one_clear_line(tmp_path: Path, name: str) -> None:
    save(tmp_path)
    (tmp_path / name).write_text("{")
    with pytest.raises(BadDataError, match=f"{name}: cannot be read"):
        folders.load_json(tmp_path, name)


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    save(tmp_path)
    np.save(tmp_path / folders.TRAINED_ITEMS, np.array([object()]), allow_pickle=True)
    with pytest.raises(BadDataError, match="cannot be read"):
        folders.load_trained_items(tmp_path)
