"""Who judges the network after each epoch: NDCG on the validation users, or nobody when they are too few."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from recsys_spark.networks.network import Network
from recsys_spark.training import validation
from recsys_spark.training.columns import ColumnType
from recsys_spark.training.fit import Judge
from recsys_spark.training.lessons import Settings, ValidationFiles

log = logging.getLogger(__name__)


def judge_of(
    network: Network,
    valid: ValidationFiles,
    settings: Settings,
    columns: Mapping[str, ColumnType],
    counts: npt.NDArray[np.int64],
) -> Judge | None:
    """NDCG on the validation users; None when so few would choose the epochs by chance.

    Args:
        columns: of the histories, that the network reads.
        counts: [V], training events of each item.
    """
    users = validation.load(
        valid.truth,
        valid.histories,
        valid.seen,
        columns,
        len(counts),
        settings.max_valid_users,
        settings.repeats_allowed,
        settings.seed,
    )
    needed = min(settings.min_valid_users, settings.max_valid_users)
    log.info("validation_users num=%d", users.num_users)
    if users.num_users < needed:
        log.warning(
            "too_few_users_to_choose_epochs num=%d needed=%d: every epoch is trained", users.num_users, needed
        )
        return None

    @tf.function  # type: ignore[untyped-decorator]
    def encode(table: Any, rows: Mapping[str, Any]) -> Any:
        return network.user_vectors(tf.gather(table, rows["items"]), rows)

    def judge() -> float:
        table = network.item_table()
        return users.ndcg(lambda rows: encode(table, rows).numpy(), network.item_vectors(), counts > 0)

    return judge
