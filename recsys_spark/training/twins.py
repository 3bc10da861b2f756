"""Train the twin that the gate judges, then the model that is published with the epochs the twin chose."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

import keras
import pyarrow as pa
import tensorflow as tf

from recsys_spark.models import self_attention
from recsys_spark.models import self_attention_network as nets
from recsys_spark.training import index_hash, optimizers, stored, warm
from recsys_spark.training.cluster import ALONE, Cluster
from recsys_spark.training.data import (
    Data,
    Earlier,
    Keep,
    Place,
    Settings,
    ValidationData,
    columns,
    digest,
    items_of,
)
from recsys_spark.training.feed import Feed
from recsys_spark.training.fit import fit
from recsys_spark.training.judge import judge_of

log = logging.getLogger(__name__)


def train(
    twin: Data,
    published: Data,
    valid: ValidationData,
    item_index: pa.Table,
    settings: Settings,
    earlier: Earlier | None,
    place: Place,
    keep: Keep,
    cluster: Cluster = ALONE,
) -> list[dict[str, Any]]:
    """Two rows of MODELS without their run_date, of the chief, which has handed both model folders to `keep`.

    Args:
        item_index: rows of ITEM_INDEX, at least those numbered below V.
        earlier: the models to start from, twin from twin; None: random weights.
        cluster: the workers; each makes the same call.

    Raises:
        BadDataError: a table breaks its contract or cannot be read.
        TrainingError: the loss is not finite, rows were lost, a worker is gone, or a start or a checkpoint
            does not belong to this training.
    """
    threads = self_attention.cap_threads(settings.num_threads)
    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    ids = index_hash.ids_of(item_index)
    rows, epochs = [], settings.epochs
    for role, data in (("twin", twin), ("published", published)):
        began = time.monotonic()
        counts, features = items_of(data.items, data.item_columns.names)
        network = nets.SelfAttention(
            _shapes(settings, len(counts)), features, counts, settings.seed, settings.mixed_precision
        )
        optimizer = optimizers.optimizer(
            settings.optimizer, settings.learning_rate, network.trainable_variables
        )
        start = warm.start(earlier, role, data.data_end, ids) if earlier else None
        if start:
            warm.apply(start, network, optimizer, settings, data.item_columns.names)
        feed = Feed(
            data.sequences, columns(settings, 1, mask=True), settings.batch_size, settings.seed,
            settings.window_row_groups, settings.num_threads, cluster.worker, cluster.num_workers,
        )  # fmt: skip
        facts = {
            "settings": settings._asdict(),
            "libraries": stored.libraries(),
            "num_threads": threads,
            "num_workers": cluster.num_workers,
            "num_items": len(counts),
            "item_index_hash": index_hash.prefix_hash(ids, len(counts)),
            "feature_names": list(data.item_columns.names),
            "data": {
                "rows": feed.num_rows,
                "sha256": feed.content_hash(),
                "items_sha256": digest(features, counts),
            },
        }
        judge = judge_of(network, valid, settings, counts) if role == "twin" else None
        fitted = fit(
            network,
            feed,
            optimizer,
            epochs=epochs,
            seed=settings.seed,
            checkpoint=place.work_dir / f"{role}.safetensors",
            identity={
                "data": _key({"data": facts["data"], "start": start.version if start else None}),
                "settings": _key({**facts, "data": None, "epochs": epochs}),
            },
            checkpoint_steps=settings.checkpoint_steps,
            judge=judge,
            patience=settings.patience,
            cluster=cluster,
            log_dir=place.log_dir / role if place.log_dir else None,
        )
        epochs = fitted.epochs
        facts |= {"rows_per_epoch": fitted.rows_per_epoch, "epochs": epochs, "log": fitted.log}
        facts |= warm.saved(start, fitted.log, fitted.start_ndcg, feed.num_steps)
        if cluster.is_chief:
            made = stored.store(network, optimizer, data.item_columns, facts, fitted.speed, keep)
            rows.append({"role": role, "data_end": data.data_end, **made})
        log.info("model_trained role=%s epochs=%d seconds=%.1f", role, epochs, time.monotonic() - began)
    return rows


def _shapes(settings: Settings, num_items: int) -> nets.Settings:
    values = settings._asdict()
    return nets.Settings(
        num_items=num_items, **{n: values[n] for n in nets.Settings._fields if n != "num_items"}
    )


def _key(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
