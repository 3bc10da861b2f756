"""A model's folder is what was saved, or names the file that is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recsys_spark.errors import BadDataError
from recsys_spark.models import artifacts

VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)
TRAINED = np.array([False, False, True, True])


def save(folder: Path, weight: float = 1.0) -> tuple[str, dict[str, str]]:
    weights = {"b": np.array([weight], np.float32), "a": np.eye(2, dtype=np.float32).T}
    return artifacts.save(folder, {"num_items": 4}, weights, VECTORS, TRAINED)


def test_what_is_loaded_is_what_was_saved(tmp_path: Path) -> None:
    save(tmp_path)
    assert artifacts.load_settings(tmp_path) == {"num_items": 4}
    np.testing.assert_array_equal(artifacts.load_weights(tmp_path)["b"], [1])
    np.testing.assert_array_equal(artifacts.load_trained_items(tmp_path), TRAINED)
    vectors = artifacts.load_item_vectors(tmp_path)
    np.testing.assert_array_equal(vectors, VECTORS)
    assert isinstance(vectors, np.memmap)


def test_the_version_is_the_weights_and_nothing_else(tmp_path: Path) -> None:
    version, files = save(tmp_path / "one")
    assert version == files[artifacts.WEIGHTS]
    assert save(tmp_path / "two") == (version, files)
    assert save(tmp_path / "three", weight=2.0)[0] != version


def test_an_untouched_folder_is_accepted(tmp_path: Path) -> None:
    artifacts.verify(tmp_path, save(tmp_path)[1])


@pytest.mark.parametrize(
    "name", [artifacts.WEIGHTS, artifacts.SETTINGS, artifacts.ITEM_VECTORS, artifacts.TRAINED_ITEMS]
)
def test_a_file_that_is_gone_cut_short_or_changed_is_named(tmp_path: Path, name: str) -> None:
    files = save(tmp_path)[1]
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-1])
    with pytest.raises(BadDataError, match=f"{name}: sha256 expected"):
        artifacts.verify(tmp_path, files)
    (tmp_path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BadDataError, match=name):
        artifacts.verify(tmp_path, files)
    (tmp_path / name).unlink()
    with pytest.raises(BadDataError, match=f"{name}: missing"):
        artifacts.verify(tmp_path, files)


def test_weights_cut_short_are_one_clear_line(tmp_path: Path) -> None:
    save(tmp_path)
    path = tmp_path / artifacts.WEIGHTS
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(BadDataError, match=r"weights\.safetensors: cannot be read"):
        artifacts.load_weights(tmp_path)


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    save(tmp_path)
    np.save(tmp_path / artifacts.TRAINED_ITEMS, np.array([object()]), allow_pickle=True)
    with pytest.raises(BadDataError, match="cannot be read"):
        artifacts.load_trained_items(tmp_path)
