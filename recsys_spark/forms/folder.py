"""A form's folder: settings as JSON, arrays as .npy, a network's weights as safetensors. No code, no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from recsys_spark.errors import BadDataError

SETTINGS, TRAINED_ITEMS = "settings.json", "trained_items.npy"


def save(folder: Path, settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, str]:
    """Write the settings, and each array under its file name; returns each file's sha256 by its name.

    Args:
        folder: made when it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = save_json(folder, SETTINGS, settings)
    for name, array in arrays.items():
        files |= save_array(folder, name, array)
    return files


def save_json(folder: Path, name: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Write plain values into one file; returns the file's sha256 by its name."""
    (folder / name).write_text(json.dumps(dict(values), indent=1, sort_keys=True) + "\n")
    return {name: _sha256(folder / name)}


def save_array(folder: Path, name: str, array: npt.NDArray[Any]) -> dict[str, str]:
    """Write an array into one .npy file; returns the file's sha256 by its name."""
    np.save(folder / name, np.ascontiguousarray(array), allow_pickle=False)
    return {name: _sha256(folder / name)}


def version_of(files: Mapping[str, str]) -> str:
    """A sha256 over the files' names and their sha256: it changes when any of them does."""
    listed = "".join(f"{name} {files[name]}\n" for name in sorted(files))
    return hashlib.sha256(listed.encode()).hexdigest()


def save_arrays(folder: Path, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, str]:
    """Write arrays by name into one safetensors file; returns the file's sha256 by its name."""
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


def not_finite(folder: Path, names: Iterable[str]) -> str | None:
    """The first of a folder's files in which an array has a NaN or an infinity; None: all numbers are finite."""
    for name in sorted(names):
        path, arrays = folder / name, []
        if path.suffix == ".npy":
            arrays = [load_array(path)]
        elif path.suffix == ".safetensors":
            arrays = [*load_arrays(path).values()]
        if not all(np.isfinite([array.min(initial=0), array.max(initial=0)]).all() for array in arrays):
            return name
    return None


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
    return load_json(folder, SETTINGS)


def load_json(folder: Path, name: str) -> dict[str, Any]:
    """What `save_json` wrote.

    Raises:
        BadDataError: the file cannot be read.
    """
    try:
        values: dict[str, Any] = json.loads((folder / name).read_text())
    except (OSError, ValueError) as error:
        raise _unreadable(folder / name, error) from error
    return values


def load_trained_items(folder: Path) -> npt.NDArray[np.bool_]:
    """[V], true where an item had a training event."""
    return load_array(folder / TRAINED_ITEMS, is_mapped=False)


def load_array(path: Path, *, is_mapped: bool = True) -> npt.NDArray[Any]:
    """An array of a .npy file.

    Args:
        is_mapped: true: a memory map, whose pages the processes of one machine share; false: read whole.

    Raises:
        BadDataError: the file cannot be read.
    """
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r" if is_mapped else None, allow_pickle=False)
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
