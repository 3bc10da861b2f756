"""The self-attention recommender's scoring form: vectors. The score is user . item, bias included.

Importing this module starts no TensorFlow; `load_encoder` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys_spark.models import artifacts

NAME = "self_attention"
ENCODE_USERS = 256  # users a call of the network; always so many, since other batch shapes change bits

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]


def load_encoder(folder: Path, num_threads: int) -> Callable[[Mapping[str, Array]], FloatArray]:
    """What turns histories into user vectors.

    The function takes items, types, values, gaps and weights, each [B, L], left-padded, and gives
    float32 [B, D + 1]. Users are encoded 256 at a time, the last of them padded, so a user's vector
    does not depend on who else is in the batch. The rows of the items in the histories are gathered from the
    memory map of the item vectors: this process holds no table of all items. Items numbered after training
    count as unknown. Of histories longer than those the model learnt from, the newest events count; shorter
    ones are padded.

    Args:
        folder: a model's folder, verified.
        num_threads: TensorFlow's threads in this process; has no effect once TensorFlow has run here.

    Raises:
        BadDataError: a file of the folder cannot be read.
    """
    import tensorflow as tf

    from recsys_spark.models import self_attention_network as network

    cap_threads(num_threads)
    item_vectors = artifacts.load_item_vectors(folder)
    settings = network.Settings(**artifacts.load_settings(folder))
    encoder = network.encoder(settings, artifacts.load_weights(folder, network.OF_ITEMS))
    encode_block = tf.function(encoder.user_vectors)

    def encode(histories: Mapping[str, Array]) -> FloatArray:
        num_users = len(histories["items"])
        vectors = np.empty((num_users, item_vectors.shape[1]), np.float32)
        for start in range(0, num_users, ENCODE_USERS):
            block = slice(start, start + ENCODE_USERS)
            part = {n: _newest(histories[n][block], settings.history_length) for n in network.INPUTS}
            used = len(part["items"])
            part = {name: np.pad(array, ((0, ENCODE_USERS - used), (0, 0))) for name, array in part.items()}
            part["items"] = np.where(part["items"] < settings.num_items, part["items"], 1)
            rows = item_vectors[part["items"], : settings.embedding_dim]  # [B, L, D]
            vectors[start : start + used] = encode_block(rows, part)[:used]
        return vectors

    return encode


def _newest(lists: Array, length: int) -> Array:
    """The last `length` places of left-padded lists [B, L], padded on the left when L is less."""
    return np.pad(lists[:, -length:], ((0, 0), (max(0, length - lists.shape[1]), 0)))


def cap_threads(num_threads: int) -> int:
    """Cap TensorFlow's threads in this process; returns the cap in force.

    TensorFlow takes a cap only before its first operation: a later call changes nothing.
    """
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
        tf.config.threading.set_inter_op_parallelism_threads(num_threads)
    except RuntimeError:  # it has run here already
        return int(tf.config.threading.get_intra_op_parallelism_threads())
    return num_threads
