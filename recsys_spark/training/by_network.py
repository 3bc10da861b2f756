"""Fit one role of a network: the twin chooses the epochs on validation, the published model trains as many."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import keras
import tensorflow as tf

from recsys_spark import models
from recsys_spark.networks.encoder import cap_threads
from recsys_spark.networks.network import Items, Network
from recsys_spark.training import epoch_choice, network_folder, optimizers, warm
from recsys_spark.training.cluster import ALONE, Cluster
from recsys_spark.training.feed import Feed
from recsys_spark.training.fit import fit
from recsys_spark.training.lessons import Common, Lesson, columns, digest, items_of
from recsys_spark.training.night import FitRole, Fitted

LIBRARIES = ("tensorflow", "keras", "numpy", "petastorm", "pyarrow")  # that decide the weights


def fitting(name: str, section: Mapping[str, Any], common: Common, cluster: Cluster = ALONE) -> FitRole:
    """What fits a role of the network `name`; each worker of a cluster makes the same calls.

    Args:
        section: the recommender's own settings.
        common: with `valid`, what epochs are chosen on.

    Its calls raise:
        BadDataError: a table breaks its contract or cannot be read.
        TrainingError: the loss is not finite, rows were lost, a worker is gone, or a start or a checkpoint
            does not belong to this training.
    """
    settings, valid, earlier = common.settings, common.valid, common.earlier
    threads = cap_threads(settings.num_threads)
    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    shapes = {"history_length": settings.history_length, "num_types": settings.num_types}

    def fit_role(role: str, lesson: Lesson, epochs: int | None) -> Fitted:
        items = Items(*items_of(lesson.items, lesson.item_columns.names))
        network: Network = models.module(name).network({**section, **shapes}, items, settings.seed)
        optimizer = optimizers.optimizer(
            section["optimizer"], section["learning_rate"], network.trainable_variables
        )
        start = warm.start(earlier, name, role, lesson) if earlier else None
        if start:
            warm.apply(start, network, optimizer, section["optimizer"], lesson.item_columns.names)
        feed = Feed(
            lesson.examples, columns(settings.history_length + 1, mask=True), section["batch_size"], settings.seed,
            settings.window_row_groups, settings.num_threads, cluster.worker, cluster.num_workers,
        )  # fmt: skip
        choosing = epochs is None
        histories = columns(settings.history_length, mask=False)
        judge = None
        if choosing and valid is not None:
            judge = epoch_choice.judge_of(network, valid, settings, histories, items.counts)
        epochs = section["epochs"] if epochs is None else epochs
        facts: dict[str, Any] = {
            "settings": {
                **section,
                **shapes,
                "seed": settings.seed,
                "window_row_groups": settings.window_row_groups,
            },
            "libraries": {library: _version(library) for library in LIBRARIES},
            "num_threads": threads,
            "num_workers": cluster.num_workers,
            "feature_names": list(lesson.item_columns.names),
            "data": {
                "rows": feed.num_rows,
                "sha256": feed.content_hash(),
                "items_sha256": digest(items.features, items.counts),
            },
        }
        fitted = fit(
            network,
            feed,
            optimizer,
            epochs=epochs,
            seed=settings.seed,
            checkpoint=settings.work_dir / f"{name}-{role}.safetensors",
            identity={
                "data": _key({"data": facts["data"], "start": start.version if start else None}),
                "settings": _key({**facts, "data": None, "epochs": epochs}),
            },
            checkpoint_steps=settings.checkpoint_steps,
            judge=judge,
            patience=section["patience"],
            cluster=cluster,
            log_dir=settings.log_dir / name / role if settings.log_dir else None,
        )
        facts |= {"rows_per_epoch": fitted.rows_per_epoch, "epochs": fitted.epochs, "log": fitted.log}
        reached = warm.reached(start, fitted.log, fitted.start_ndcg, feed.num_steps)
        state = {"optimizer": section["optimizer"], "feature_names": facts["feature_names"], **reached}
        return Fitted(
            len(items.counts),
            partial(network_folder.save, network, lesson.item_columns, fitted.speed),
            {**facts, **reached},
            save_state=partial(warm.save_state, network, optimizer, state),
            epochs=fitted.epochs,
            start_version=start.version if start else None,
        )

    return fit_role


def _key(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _version(package: str) -> str:
    if package != "tensorflow":
        return version(package)
    try:
        return version("tensorflow-cpu")
    except PackageNotFoundError:
        return version(package)
