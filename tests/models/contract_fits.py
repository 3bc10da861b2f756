"""Every recommender fitted for real on the small shop, as it is in memory and as it is loaded from its folder."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from contract_lines import LINES
from contract_shop import (
    COUNTS,
    FEATURES,
    LENGTH,
    Examples,
    item_features,
)
from pyspark.sql import SparkSession

from recsys_spark import config, models
from recsys_spark.forms import blend, item_item
from recsys_spark.forms.blend import Blend, Blending
from recsys_spark.forms.form import Form
from recsys_spark.forms.inner_product import directions
from recsys_spark.forms.vectors import Vectors
from recsys_spark.scoring import loaded_models
from recsys_spark.scoring.loaded_models import LoadedModel
from recsys_spark.scoring.stored_models import StoredModel
from recsys_spark.training.by_arrays import read_bags
from recsys_spark.training.lessons import Common, Lesson, Settings

MEMBERS = ("transitions", "ease")
BLENDING = Blending("scores", (1.0, 0.5), 20)
SEED = 3


class Fit(NamedTuple):
    """A fitted recommender.

    Attributes:
        form: as `fit` gave it.
        stored: its folder.
        members: of a blend.
    """

    name: str
    form: Form
    stored: StoredModel
    members: tuple[Fit, ...] = ()

    @property
    def in_memory(self) -> LoadedModel:
        """What a process has that fitted it."""
        return LoadedModel(self.name, self.stored.version, self.form)

    @property
    def loaded(self) -> LoadedModel:
        """What a scoring process has."""
        return loaded_models.load(self.stored, 1)


def section(name: str) -> dict[str, Any]:
    """Settings of the recommender, those of its line included, and what the driver adds."""
    memory = {"memory_bytes": 1 << 30}
    shapes = {"history_length": LENGTH, "num_types": 2}
    return {**config.load().section_of(name), **memory, **shapes, **LINES[name].section}


def fit(name: str, examples: Examples, spark: SparkSession, folder: Path) -> Fit | None:
    """Fit and save; None where nobody fits."""
    counts, settings = COUNTS, section(name)
    match models.ALL[name].fitted_by:
        case "nobody":
            return None
        case "members":
            members = tuple(fit(member, examples, spark, folder / member) for member in MEMBERS)
            merged = Blend([member.form for member in members], BLENDING)
            versions = {member.name: member.stored.version for member in members}
            files = blend.save(folder / name, BLENDING, versions, merged.is_trained)
            return _stored(name, merged, folder / name, files, members)
        case "network":
            network = trained(name, examples, folder)
            from recsys_spark.networks.encoder import encoding
            from recsys_spark.training import network_folder
            from recsys_spark.training.watch import Speed

            files = network_folder.save(network, FEATURES, Speed(1, 1, 0), folder / name)
            vectors = network.item_vectors()
            encode = encoding(network, models.ALL[name].reads, vectors)
            form: Form = Vectors(encode, vectors, directions(vectors), counts > 0)
            return _stored(name, form, folder / name, files)
        case "spark":
            learnt = models.module(name).fit(
                spark.read.parquet(examples.sequence_examples.uri), counts, settings
            )
        case "arrays":
            bags = read_bags(_rows(examples.bags.uri))
            learnt = models.module(name).fit(bags, counts, settings)
    files = item_item.save(folder / name, settings, learnt)
    return _stored(name, learnt, folder / name, files)


def trained(name: str, examples: Examples, folder: Path) -> Any:
    """The network of this name after its epochs."""
    from recsys_spark.training import fit as training
    from recsys_spark.training.feed import Feed
    from recsys_spark.training.lessons import columns
    from recsys_spark.training.optimizers import optimizer

    settings, network = section(name), first(name)
    feed = Feed([examples.sequence_examples], columns(LENGTH + 1, mask=True), settings["batch_size"], SEED)
    training.fit(
        network,
        feed,
        optimizer(settings["optimizer"], settings["learning_rate"], network.trainable_variables),
        epochs=settings["epochs"],
        seed=SEED,
        checkpoint=folder / "checkpoint",
        identity={"data": "d", "settings": "s"},
    )
    return network


def first(name: str) -> Any:
    """The network of this name before training."""
    from recsys_spark.networks.network import Items
    from recsys_spark.training.lessons import items_of

    return models.module(name).network(section(name), Items(*items_of(item_features(), FEATURES.names)), SEED)


def lesson(name: str, examples: Examples, spark: SparkSession) -> Lesson:
    """What a night's training of it reads."""
    table = models.ALL[name].learns_from
    file = getattr(examples, table) if table else None
    frame = spark.read.parquet(file.uri) if models.ALL[name].fitted_by == "spark" else None
    return Lesson([file] if file else [], frame, item_features(), FEATURES, dt.datetime(2024, 3, 1))


def common(folder: Path) -> Common:
    """What the trainings of a night have in common; folders are kept nowhere."""
    settings = Settings(LENGTH, 2, False, 100, 100, 8, SEED, 1, 0, folder, None)
    return Common(settings, None, None, item_index(), lambda version, kept: None, lambda version: folder)


def item_index() -> pa.Table:
    """ITEM_INDEX, as far as its hash reads it."""
    numbered = item_features()["item_idx"].to_pylist()
    return pa.table({"item_idx": pa.array(numbered, pa.int32()), "item_id": [f"i{n}" for n in numbered]})


def _rows(uri: str) -> pa.Table:
    return pq.read_table(uri.removeprefix("file://"), columns=["items", "weights"])


def _stored(name: str, form: Form, folder: Path, files: dict[str, str], members: tuple[Fit, ...] = ()) -> Fit:
    of_members = tuple(member.stored for member in members)
    version = f"{name} of {folder}"
    stored = StoredModel(
        name,
        models.ALL[name].form,
        version,
        None,
        files,
        len(form.is_trained),
        "",
        lambda _: folder,
        of_members,
    )
    return Fit(name, form, stored, members)
