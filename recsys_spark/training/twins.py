"""Train the twin that the gate judges, then the model that is published with the epochs the twin chose."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from recsys_spark.models import artifacts, self_attention
from recsys_spark.models import self_attention_network as nets
from recsys_spark.training import index_hash, validation
from recsys_spark.training.columns import ColumnType
from recsys_spark.training.data import Data, Settings, ValidationData, items_of
from recsys_spark.training.feed import Feed
from recsys_spark.training.fit import Fitted, Judge, fit

log = logging.getLogger(__name__)

LIBRARIES = ("tensorflow", "keras", "numpy", "petastorm", "pyarrow")
DTYPES = {"items": "int32", "types": "int32", "values": "float32", "gaps": "int32", "weights": "float32"}


def train(
    twin: Data,
    published: Data,
    valid: ValidationData,
    item_index: pa.Table,
    settings: Settings,
    work_dir: Path,
    keep: Callable[[str, Path], None],
) -> list[dict[str, Any]]:
    """Two rows of MODELS without their run_date; both model folders have been handed to `keep`.

    Args:
        item_index: rows of ITEM_INDEX, at least those numbered below V.
        work_dir: a local folder for checkpoints.
        keep: stores a folder under a version.

    Raises:
        BadDataError: a table breaks its contract or cannot be read.
        TrainingError: the loss is not finite, or rows were lost.
    """
    threads = self_attention.cap_threads(settings.num_threads)
    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    ids = list(zip(item_index["item_idx"].to_pylist(), item_index["item_id"].to_pylist(), strict=True))
    rows, epochs = [], settings.epochs
    for role, data in (("twin", twin), ("published", published)):
        began = time.monotonic()
        counts, features = items_of(data.items)
        network = nets.SelfAttention(_shapes(settings, len(counts)), features, counts, settings.seed)
        feed = Feed(data.sequences, _columns(settings, 1, mask=True), settings.batch_size, settings.seed)
        facts = {
            "settings": settings._asdict(),
            "libraries": {name: version(_package(name)) for name in LIBRARIES},
            "num_threads": threads,
            "num_items": len(counts),
            "item_index_hash": index_hash.prefix_hash(ids, len(counts)),
            "data": {
                "rows": feed.num_rows,
                "sha256": feed.content_hash(),
                "items_sha256": _digest(features, counts),
            },
        }
        judge = _judge(network, valid, settings, counts) if role == "twin" else None
        fitted = fit(
            network,
            feed,
            epochs=epochs,
            learning_rate=settings.learning_rate,
            seed=settings.seed,
            checkpoint=work_dir / f"{_key({**facts, 'role': role, 'epochs': epochs})}.safetensors",
            judge=judge,
            patience=settings.patience,
        )
        epochs = fitted.epochs
        rows.append(_stored(network, counts, role, data.data_end, facts, fitted, keep))
        log.info("model_trained role=%s epochs=%d seconds=%.1f", role, epochs, time.monotonic() - began)
    return rows


def _stored(
    network: nets.SelfAttention,
    counts: npt.NDArray[np.int64],
    role: str,
    data_end: dt.datetime,
    facts: Mapping[str, Any],
    fitted: Fitted,
    keep: Callable[[str, Path], None],
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        name, files = artifacts.save(
            Path(folder),
            network.settings._asdict(),
            nets.weights_of(network),
            network.item_vectors(),
            counts > 0,
        )
        keep(name, Path(folder))
    manifest = {**facts, "rows_per_epoch": fitted.rows_per_epoch, "epochs": fitted.epochs, "log": fitted.log}
    return {
        "name": self_attention.NAME,
        "role": role,
        "data_end": data_end,
        "version": name,
        "files": files,
        "manifest": json.dumps(manifest, sort_keys=True),
    }


def _judge(
    network: nets.SelfAttention, valid: ValidationData, settings: Settings, counts: npt.NDArray[np.int64]
) -> Judge | None:
    """NDCG on the validation users; None when so few would choose the epochs by chance."""
    users = validation.load(
        valid.truth,
        valid.histories,
        valid.seen,
        _columns(settings, 0, mask=False),
        len(counts),
        settings.max_valid_users,
        settings.repeats_allowed,
        settings.seed,
    )
    needed = min(settings.min_valid_users, settings.max_valid_users)
    log.info("validation_users num=%d", users.num_users)
    if users.num_users < needed:
        log.warning(
            "too_few_users_to_choose_epochs num=%d needed=%d epochs=%d",
            users.num_users,
            needed,
            settings.epochs,
        )
        return None
    encode = tf.function(network.user_vectors)

    def judge() -> float:
        table = network.item_table()
        return users.ndcg(lambda rows: encode(table, rows).numpy(), network.item_vectors(), counts > 0)

    return judge


def _columns(settings: Settings, more: int, *, mask: bool) -> dict[str, ColumnType]:
    dtypes = {**DTYPES, "mask": "int32"} if mask else DTYPES
    return {name: ColumnType(dtype, settings.history_length + more) for name, dtype in dtypes.items()}


def _shapes(settings: Settings, num_items: int) -> nets.Settings:
    values = settings._asdict()
    return nets.Settings(
        num_items=num_items, **{n: values[n] for n in nets.Settings._fields if n != "num_items"}
    )


def _digest(*arrays: npt.NDArray[Any]) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def _key(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _package(name: str) -> str:
    return "tensorflow-cpu" if name == "tensorflow" and _is_installed("tensorflow-cpu") else name


def _is_installed(name: str) -> bool:
    from importlib.metadata import PackageNotFoundError

    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
