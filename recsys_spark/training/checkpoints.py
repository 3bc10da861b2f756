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

from recsys_spark.errors import BadDataError, TrainingError

Arrays = dict[str, npt.NDArray[Any]]


def save(
    path: Path, arrays: Mapping[str, npt.NDArray[Any]], state: Mapping[str, Any], identity: Mapping[str, str]
) -> None:
    """Replace the checkpoint; a kill leaves the old one or the new one.

    Args:
        state: what JSON can hold.
        identity: the hashes of what is trained on and how, by what they are of.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    facts = {"state": json.dumps(dict(state)), "identity": json.dumps(dict(identity))}
    save_file(contiguous, part, metadata=facts)
    part.replace(path)


def load(path: Path, identity: Mapping[str, str]) -> tuple[Arrays, dict[str, Any]] | None:
    """The arrays and the state, or None when there is no checkpoint.

    Raises:
        BadDataError: the file is damaged.
        TrainingError: it was saved by a training on other data or with other settings.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            facts = {name: json.loads(value) for name, value in file.metadata().items()}
            state, saved = dict(facts["state"]), dict(facts["identity"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadDataError(
            f"checkpoint {path}: cannot be read: {error}; delete it and train again"
        ) from error
    other = [name for name in identity if saved.get(name) != identity[name]]
    if other:
        faults = (f"{n} expected {identity[n][:12]}, got {str(saved.get(n))[:12]}" for n in other)
        raise TrainingError(
            f"checkpoint {path}: of a training on other {' and '.join(other)}: {'; '.join(faults)}; delete it "
            "to train from the start, or restore what it was made with"
        )
    return arrays, state
