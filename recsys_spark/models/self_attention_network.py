"""The network behind `self_attention`: causal self-attention over a user's events, read top to bottom.

Source: Kang and McAuley 2018, "Self-Attentive Sequential Recommendation". Differs: the loss is a
softmax over all items (or a sampled one, corrected) where the paper has one negative and a logistic
loss; items carry their features, and events their type, value and time gap; layer norm comes first
in each block; positions count from the newest event, so padding on the left changes nothing.

Shapes: B batch, L events, V items, D embedding_dim, H heads, F item features, M targets, N negatives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from recsys_spark.models.attention_block import Block, dropout, stream

FIRST_ITEM = 2  # 0 pads, 1 is an unknown item; neither is ever predicted
GAP_BUCKETS = 33  # powers of two up to 2^31 - 1 seconds, and 0
INPUTS = ("items", "types", "values", "gaps", "weights")

Batch = Mapping[str, Any]
FloatArray = npt.NDArray[np.float32]


class Settings(NamedTuple):
    """What fixes the shapes; stands beside the weights as JSON."""

    num_items: int
    history_length: int
    num_types: int
    embedding_dim: int
    num_blocks: int
    num_heads: int
    dropout: float
    num_negatives: int


class SelfAttention(keras.Model):  # type: ignore[misc]
    """User vectors and item vectors whose inner product scores an item as the user's next one.

    The loss before training is ln(items with a training event), with negatives sampled or not: the
    first scores are near 0. Items without one are in no softmax, so that items first seen after the
    cut cannot change what is learnt before it.
    """

    def __init__(
        self, settings: Settings, features: FloatArray, item_counts: npt.NDArray[np.int64], seed: int = 0
    ) -> None:
        """Build the weights.

        Args:
            features: [V, F], constant.
            item_counts: [V], training events of each item; 0 for the numbers 0 and 1.
            seed: of the initial weights.
        """
        super().__init__(name="self_attention")
        s = self.settings = settings
        dim = s.embedding_dim
        self.constants: dict[str, npt.NDArray[Any]] = {"features": features, "item_counts": item_counts}
        self.features = tf.constant(features, tf.float32)  # [V, F]
        self.trained = np.flatnonzero(item_counts > 0)  # item numbers; T of them
        power = item_counts[self.trained].astype(np.float64) ** 0.75
        self.draws = (power / power.sum()).astype(np.float32)  # [T], share of each in the negatives
        self.not_trained = np.where(item_counts > 0, 0, -1e9).astype(np.float32)  # [V]

        def small(place: int) -> keras.initializers.Initializer:
            return keras.initializers.RandomNormal(stddev=0.02, seed=1000 * seed + place)

        self.item_embedding = self.add_weight((s.num_items, dim), small(1), name="item_embedding")
        self.item_bias = self.add_weight((s.num_items,), "zeros", name="item_bias")
        self.feature_projection = self.add_weight(
            (features.shape[1], dim), small(2), name="feature_projection"
        )
        self.position_embedding = self.add_weight(
            (s.history_length, dim), small(3), name="position_embedding"
        )
        self.type_embedding = self.add_weight((s.num_types + 1, dim), small(4), name="type_embedding")
        self.gap_embedding = self.add_weight((GAP_BUCKETS, dim), small(5), name="gap_embedding")
        self.value_projection = self.add_weight((2, dim), small(6), name="value_projection")
        self.blocks = [
            Block(dim, s.num_heads, s.dropout, seed=1000 * seed + 100 * (i + 1), name=f"block_{i}")
            for i in range(s.num_blocks)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")
        self.norm.build((None, None, dim))

    def item_table(self) -> Any:
        """[V, D]: an item's own embedding plus what its features say."""
        return self.item_embedding + tf.matmul(self.features, self.feature_projection)

    def item_vectors(self) -> FloatArray:
        """[V, D + 1]: the bias is the last dimension."""
        vectors = tf.concat([self.item_table(), self.item_bias[:, None]], axis=1)
        return np.asarray(vectors, dtype=np.float32)

    def states(self, table: Any, batch: Batch, key: Any = None) -> Any:
        """[B, L, D]: the user as of each event, ready to be compared with item vectors.

        Args:
            table: `item_table()`, computed once for all batches or steps.
            batch: INPUTS, each [B, L], L at most history_length, left-padded with 0.
            key: two int64 that decide what is dropped, the first a multiple of 4096; None: nothing is
                dropped (not training).
        """
        items = batch["items"]  # [B, L]
        is_event = tf.not_equal(items, 0)
        values = tf.cast(batch["values"], tf.float32)
        missing = tf.math.is_nan(values)
        values = tf.where(missing, 0.0, values)
        values = tf.sign(values) * tf.math.log1p(tf.abs(values))
        x = tf.gather(table, items)  # [B, L, D]
        x += self.position_embedding[-tf.shape(items)[1] :]
        x += tf.gather(self.type_embedding, batch["types"]) + tf.gather(
            self.gap_embedding, _bucket(batch["gaps"])
        )
        x += tf.tensordot(tf.stack([values, tf.cast(missing, tf.float32)], axis=2), self.value_projection, 1)
        x = dropout(x, self.settings.dropout, key, 0)
        x *= tf.cast(is_event, tf.float32)[..., None]
        for i, block in enumerate(self.blocks):
            x = block(x, is_event, key, place=10 * (i + 1))  # [B, L, D]
        return self.norm(x)

    def user_vectors(self, table: Any, batch: Batch) -> Any:
        """[B, D + 1]: the state after the newest event; the 1 at the end takes the item's bias."""
        last = self.states(table, batch)[:, -1]  # [B, D]
        return tf.concat([last, tf.ones_like(last[:, :1])], axis=1)

    def loss_sums(self, batch: Batch, key: Any = None) -> tuple[Any, Any]:
        """Sum of the weighted losses of a batch of windows, and the sum of the weights.

        Args:
            batch: INPUTS and `mask`, each [B, L + 1]; where the mask is 1, the event is predicted
                from those before it, and counts with its weight.
            key: as in `states`; also decides the negatives.
        """
        before = {name: batch[name][:, :-1] for name in INPUTS}  # [B, L]
        items = batch["items"][:, 1:]
        is_target = (batch["mask"][:, 1:] > 0) & (items >= FIRST_ITEM)
        places = tf.reshape(tf.where(tf.reshape(is_target, [-1])), [-1])  # [M], places in [B * L]
        targets = tf.gather(tf.reshape(items, [-1]), places)
        weights = tf.gather(tf.reshape(batch["weights"][:, 1:], [-1]), places)
        table = self.item_table()  # [V, D]
        states = tf.reshape(self.states(table, before, key), [-1, self.settings.embedding_dim])
        users = tf.gather(states, places)  # [M, D]
        losses = (
            self._sampled(users, table, targets, key) if self._samples else self._full(users, table, targets)
        )
        return tf.reduce_sum(losses * weights), tf.reduce_sum(weights)

    @property
    def _samples(self) -> bool:
        return 0 < self.settings.num_negatives < len(self.trained)

    def _full(self, users: Any, table: Any, targets: Any) -> Any:
        scores = tf.matmul(users, table, transpose_b=True) + self.item_bias + self.not_trained  # [M, V]
        return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, scores)

    def _sampled(self, users: Any, table: Any, targets: Any, key: Any) -> Any:
        """Softmax over the target and N negatives shared by the batch, drawn by popularity.

        Each negative stands for 1 / (N q) items, so the sum of exponentials is that of all items on
        average (logQ correction); a negative that is the target itself is left out.
        """
        num = self.settings.num_negatives
        points = tf.random.stateless_uniform([num], stream(key, 7), dtype=tf.float32)
        drawn = tf.searchsorted(np.cumsum(self.draws), points, side="right")
        drawn = tf.minimum(drawn, len(self.trained) - 1)  # [N], places in `trained`
        negatives = tf.gather(tf.constant(self.trained, tf.int32), drawn)  # [N], item numbers
        bias = tf.gather(self.item_bias, negatives) - tf.math.log(num * tf.gather(self.draws, drawn))
        others = tf.matmul(users, tf.gather(table, negatives), transpose_b=True) + bias  # [M, N]
        others = tf.where(targets[:, None] == negatives[None, :], -1e9, others)
        own = tf.reduce_sum(users * tf.gather(table, targets), axis=1) + tf.gather(
            self.item_bias, targets
        )  # [M]
        return tf.reduce_logsumexp(tf.concat([own[:, None], others], axis=1), axis=1) - own


def _bucket(gaps: Any) -> Any:
    """0 for no gap, else 1 + floor(log2(seconds))."""
    return tf.where(
        gaps > 0,
        1 + tf.cast(tf.math.log(tf.cast(tf.maximum(gaps, 1), tf.float32)) / np.log(2.0), tf.int32),
        0,
    )


def weights_of(network: SelfAttention) -> dict[str, npt.NDArray[Any]]:
    """Everything `from_weights` needs beside the settings, by name; the constant item features included."""
    variables = {_name(variable): np.asarray(variable) for variable in network.trainable_variables}
    return {**variables, **network.constants}


def from_weights(settings: Settings, weights: Mapping[str, npt.NDArray[Any]]) -> SelfAttention:
    """The network with given weights; KeyError or ValueError when they do not fit the settings."""
    network = SelfAttention(settings, weights["features"], weights["item_counts"])
    for variable in network.trainable_variables:
        variable.assign(weights[_name(variable)])
    return network


def _name(variable: Any) -> str:
    return str(variable.path).removeprefix("self_attention/")
