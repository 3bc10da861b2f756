"""Models in a process: loaded once, and what they need there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from recsys_spark import models
from recsys_spark.errors import TrainingError
from recsys_spark.forms import blend, item_item, vectors
from recsys_spark.forms import folder as folders
from recsys_spark.forms.form import Form, Needs, Size
from recsys_spark.scoring.stored_models import StoredModel

_FORMS: dict[str, Any] = {"item_item": item_item, "vectors": vectors, "blend": blend}
_loaded: dict[tuple[str, int], LoadedModel] = {}


class LoadedModel(NamedTuple):
    """A model in this process."""

    name: str
    version: str
    form: Form


def needs(model: StoredModel, size: Size) -> Needs:
    """Memory that ranking by the model takes in a worker; fetches its folders to this machine."""
    total: Needs = _FORMS[model.form].needs(model.fetch(model.version), size)
    for member in model.members:
        total = total.plus(needs(member, size))
    return total


def load(model: StoredModel, num_threads: int) -> LoadedModel:
    """Verify and open a model; later calls in this process get the same object.

    Raises:
        BadDataError: a file of the model is missing or changed.
    """
    key = (model.version, num_threads)
    if key not in _loaded:
        folder = model.fetch(model.version)
        folders.verify(folder, model.files)
        _loaded[key] = LoadedModel(model.name, model.version, _form(model, folder, num_threads))
    return _loaded[key]


def _form(model: StoredModel, folder: Path, num_threads: int) -> Form:
    match model.form:
        case "item_item":
            return item_item.load(folder)
        case "vectors":
            # This starts TensorFlow: only processes that encode users by a network may pay for it.
            return vectors.load(folder, models.module(model.name).encoder(folder, num_threads))
        case "blend":
            return blend.load(folder, [load(member, num_threads).form for member in model.members])
    raise TrainingError(
        f"model {model.name} {model.version[:12]} of {model.run_date}: unknown form {model.form}; train again"
    )


def cap_threads(num_threads: int) -> None:
    """Cap BLAS in this process: several scoring processes share the machine's cores."""
    threadpool_limits(num_threads)
