"""A model's folder: settings as JSON, arrays as .npy, a network's weights as safetensors. No code, no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from recsys_spark.errors import BadDataError

WEIGHTS, SETTINGS = "weights.safetensors", "settings.json"
ITEM_VECTORS, ITEM_DIRECTIONS, TRAINED_ITEMS = "item_vectors.npy", "item_directions.npy", "trained_items.npy"
ITEM_TOWER = "item_tower.npy"
OPTIMIZER = "optimizer.safetensors"  # in a folder of its own: only a warm start reads it

FloatArray = npt.NDArray[np.float32]

_NORMALISED_AT_ONCE = 65_536  # vectors in float64


def save(
    folder: Path,
    settings: Mapping[str, Any],
    weights: Mapping[str, npt.NDArray[Any]],
    item_vectors: FloatArray,
    trained_items: npt.NDArray[np.bool_],
    item_tower: FloatArray | None = None,
) -> tuple[str, dict[str, str]]:
    """Write the files; returns the version (sha256 of the weights file) and each file's sha256.

    Args:
        folder: made when it is not there.
        item_vectors: [V, D + 1].
        trained_items: [V], true where an item had a training event: the model's candidates.
        item_tower: [C + 1, D + 1], for the vectors of other items; None: the model gives them none.
    """
    arrays: dict[str, npt.NDArray[Any]] = {
        ITEM_VECTORS: np.asarray(item_vectors, np.float32),
        ITEM_DIRECTIONS: directions(item_vectors),
        TRAINED_ITEMS: trained_items.astype(np.bool_),
    }
    if item_tower is not None:
        arrays[ITEM_TOWER] = np.asarray(item_tower, np.float32)
    files = save_folder(folder, settings, arrays) | save_arrays(folder, WEIGHTS, weights)
    return files[WEIGHTS], files


def directions(item_vectors: npt.NDArray[Any]) -> FloatArray:
    """Vectors [V, D + 1] as float32 [V, D] of length 1, without the bias; one without a length stays 0."""
    out = np.empty((len(item_vectors), item_vectors.shape[1] - 1), np.float32)
    for start in range(0, len(out), _NORMALISED_AT_ONCE):
        part = slice(start, start + _NORMALISED_AT_ONCE)
        wide = item_vectors[part, :-1].astype(np.float64)
        norms = np.linalg.norm(wide, axis=1, keepdims=True)
        out[part] = wide / np.where(norms > 0, norms, 1)
    return out


def save_folder(
    folder: Path, settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
) -> dict[str, str]:
    """Write the settings, and each array under its file name; returns each file's sha256 by its name.

    Args:
        folder: made when it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS).write_text(json.dumps(dict(settings), indent=1, sort_keys=True) + "\n")
    for name, array in arrays.items():
        np.save(folder / name, np.ascontiguousarray(array), allow_pickle=False)
    return {name: _sha256(folder / name) for name in (SETTINGS, *arrays)}


def version_of(files: Mapping[str, str]) -> str:
    """A sha256 over the files' names and their sha256: it changes when any of them does."""
    listed = "".join(f"{name} {files[name]}\n" for name in sorted(files))
    return hashlib.sha256(listed.encode()).hexdigest()


def save_arrays(folder: Path, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, str]:
    """Write arrays by name into one file; returns the file's sha256 by its name."""
    (folder / name).write_bytes(to_bytes({key: np.asarray(arrays[key], order="C") for key in sorted(arrays)}))
    return {name: _sha256(folder / name)}


def load_arrays(path: Path, left_out: Container[str] = ()) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a file, by name.

    Args:
        left_out: names of arrays that are not read.

    Raises:
        BadDataError: the file cannot be read.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys() if name not in left_out}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def verify(folder: Path, files: Mapping[str, str]) -> None:
    """Compare every file with the sha256 that the table `models` holds.

    Raises:
        BadDataError: a file is missing, cut short or changed; names it.
    """
    for name, expected in sorted(files.items()):
        path = folder / name
        if not path.is_file():
            raise BadDataError(f"model file {path}: missing; restore it or train again")
        if (got := _sha256(path)) != expected:
            raise BadDataError(
                f"model file {path}: sha256 expected {expected[:12]}, got {got[:12]} ({path.stat().st_size} bytes): "
                "cut short or changed; restore it or train again"
            )


def load_settings(folder: Path) -> dict[str, Any]:
    """The settings the model was built with.

    Raises:
        BadDataError: the file cannot be read.
    """
    try:
        settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text())
    except (OSError, ValueError) as error:
        raise _unreadable(folder / SETTINGS, error) from error
    return settings


def load_weights(folder: Path, left_out: Container[str] = ()) -> dict[str, npt.NDArray[Any]]:
    """The weights by name.

    Args:
        left_out: names of weights that are not read.

    Raises:
        BadDataError: the file cannot be read.
    """
    return load_arrays(folder / WEIGHTS, left_out)


def load_item_vectors(folder: Path) -> FloatArray:
    """[V, D + 1] as a memory map: the processes of one machine share its pages."""
    return load_array(folder / ITEM_VECTORS, "r")


def load_item_directions(folder: Path) -> FloatArray:
    """[V, D], what `directions` gives of the item vectors, as a memory map like them."""
    return load_array(folder / ITEM_DIRECTIONS, "r")


def load_trained_items(folder: Path) -> npt.NDArray[np.bool_]:
    """[V], true where an item had a training event."""
    return load_array(folder / TRAINED_ITEMS, None)


def load_array(path: Path, mmap_mode: Any) -> npt.NDArray[Any]:
    """An array as `np.load` gives it.

    Args:
        mmap_mode: "r" maps the file into memory; None reads it.

    Raises:
        BadDataError: the file cannot be read.
    """
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, error) from error
    return array


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unreadable(path: Path, error: Exception) -> BadDataError:
    return BadDataError(
        f"model file {path}: cannot be read: {' '.join(str(error).split())[:200]}; train again"
    )
