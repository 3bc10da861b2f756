"""Histories to user vectors in a scoring process, by a trained network without its items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from recsys_spark.networks.network import Network
from recsys_spark.tables import UNKNOWN

ENCODE_USERS = 256  # users a call of the network; always so many, since other batch shapes change bits

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]


def encoding(
    network: Network, inputs: tuple[str, ...], item_vectors: FloatArray
) -> Callable[[Mapping[str, Array]], FloatArray]:
    """What turns histories into user vectors.

    The function takes the inputs, each [B, L], left-padded, and gives float32 [B, D + 1]. Users are encoded 256 at a
    time, the last of them padded, so a user's vector does not depend on who else is in the batch. Items numbered after
    training count as unknown. Of histories longer than those the model learnt from, the newest events count; shorter
    ones are padded.

    Args:
        network: needs none of its items' weights; settings.history_length is its L.
        item_vectors: [V, D + 1], perhaps a memory map: the rows of the histories' items are gathered from it.
    """
    num_items, width = item_vectors.shape
    length = network.settings.history_length
    encode_block = tf.function(network.user_vectors)

    def encode(users: Mapping[str, Array]) -> FloatArray:
        num_users = len(users["items"])
        vectors = np.empty((num_users, width), np.float32)
        for start in range(0, num_users, ENCODE_USERS):
            block = slice(start, start + ENCODE_USERS)
            part = {name: _newest(users[name][block], length) for name in inputs}
            used = len(part["items"])
            part = {name: np.pad(array, ((0, ENCODE_USERS - used), (0, 0))) for name, array in part.items()}
            part["items"] = np.where(part["items"] < num_items, part["items"], UNKNOWN)
            rows = item_vectors[part["items"], :-1]  # [B, L, D]
            vectors[start : start + used] = encode_block(rows, part)[:used]
        return vectors

    return encode


def _newest(lists: Array, length: int) -> Array:
    """The last `length` events of left-padded lists [B, L], padded on the left when L is less."""
    return np.pad(lists[:, -length:], ((0, 0), (max(0, length - lists.shape[1]), 0)))


def cap_threads(num_threads: int) -> int:
    """Cap TensorFlow's threads in this process; returns the cap in force.

    TensorFlow takes a cap only before its first operation: a later call changes nothing.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
        tf.config.threading.set_inter_op_parallelism_threads(num_threads)
    except RuntimeError:  # it has run here already
        return int(tf.config.threading.get_intra_op_parallelism_threads())
    return num_threads
