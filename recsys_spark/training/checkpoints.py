"""What a killed training needs to go on: arrays and a few plain values in one file, replaced at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recsys_spark.errors import BadDataError

Arrays = dict[str, npt.NDArray[Any]]


def save(path: Path, arrays: Mapping[str, npt.NDArray[Any]], state: Mapping[str, Any]) -> None:
    """Replace the checkpoint; a kill leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    save_file(contiguous, part, metadata={"state": json.dumps(dict(state))})
    part.replace(path)


def load(path: Path) -> tuple[Arrays, dict[str, Any]] | None:
    """The arrays and the state, or None when there is no checkpoint.

    Raises:
        BadDataError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return arrays, json.loads(file.metadata()["state"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BadDataError(
            f"checkpoint {path}: cannot be read: {error}; delete it and train again"
        ) from error
