"""`self_attention`: causal self-attention over a user's events, read top to bottom.

Source: Kang and McAuley 2018, "Self-Attentive Sequential Recommendation". Differs: the loss is a
softmax over all items (or a sampled one, corrected) where the paper has one negative and a logistic
loss; items carry their features, and events their type, value and time gap; layer norm comes first
in each block; positions count from the newest event, so padding on the left changes nothing.

Shapes: B batch, L events, V items, D embedding_dim, F item features, M targets (G: of all workers).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from recsys_spark.forms import folder as folders
from recsys_spark.forms import vectors
from recsys_spark.forms.vectors import WEIGHTS, Encode
from recsys_spark.networks import losses, negatives, targets
from recsys_spark.networks.attention_block import Block, dropout
from recsys_spark.networks.augmentation import augment
from recsys_spark.networks.encoder import cap_threads, encoding
from recsys_spark.networks.event_inputs import GAP_BUCKETS, gap_bucket, value_columns
from recsys_spark.networks.network import FEATURE_PROJECTION, Batch, Items, assign

SHAPES = ("history_length", "num_types", "embedding_dim", "num_blocks", "num_heads")
INPUTS = ("items", "types", "values", "gaps", "weights")
OF_ITEMS = (
    "item_embedding",
    "item_bias",
    FEATURE_PROJECTION,
    "features",
    "item_counts",
)  # item vectors' parts

FloatArray = npt.NDArray[np.float32]


class Settings(NamedTuple):
    """What fixes the shapes and the loss; stands beside the weights as JSON.

    What has a default is missing in models stored before it existed, and was so for them.
    """

    num_items: int
    history_length: int
    num_types: int
    embedding_dim: int
    num_blocks: int
    num_heads: int
    dropout: float
    num_negatives: int
    negatives: str = "popularity"  # uniform | popularity | in_batch
    crop_share: float = 0.0
    mask_share: float = 0.0
    reorder_share: float = 0.0


class SelfAttention(keras.Model):  # type: ignore[misc]
    """User vectors and item vectors whose inner product scores an item as the user's next one.

    The loss before training is ln(items with a training event), since the first scores are near 0; with
    sampled or in-batch negatives those of the window, which are none, come off. Items without an event
    are in no softmax, so that items first seen after the cut cannot change what is learnt before it.
    """

    def __init__(
        self, settings: Settings, items: Items, seed: int = 0, mixed_precision: bool = False
    ) -> None:
        """Build the weights.

        Args:
            items: their features are constant; the numbers 0 and 1 have no events.
            seed: of the initial weights.
            mixed_precision: the blocks compute in bfloat16; no weight and no score is of that type.
        """
        super().__init__(name="self_attention")
        s = self.settings = settings
        features, item_counts = items.features, items.counts
        dim, lengths = s.embedding_dim, (s.history_length, s.embedding_dim)
        self.feature_rows, self.shapes = (FEATURE_PROJECTION,), SHAPES
        self.constants: dict[str, npt.NDArray[Any]] = {"features": features, "item_counts": item_counts}
        self.features = tf.constant(features, tf.float32)  # [V, F]
        self.sampled_softmax = negatives.softmax(s.negatives, s.num_negatives, item_counts)
        self.not_trained = tf.constant(np.where(item_counts > 0, 0, losses.NEVER), tf.float32)  # [V]

        def small(place: int) -> keras.initializers.Initializer:
            return keras.initializers.RandomNormal(stddev=0.02, seed=1000 * seed + place)

        self.item_embedding = self.add_weight((s.num_items, dim), small(1), name="item_embedding")
        self.item_bias = self.add_weight((s.num_items,), "zeros", name="item_bias")
        self.feature_projection = self.add_weight((features.shape[1], dim), small(2), name=FEATURE_PROJECTION)
        self.position_embedding = self.add_weight(lengths, small(3), name="position_embedding")
        self.type_embedding = self.add_weight((s.num_types + 1, dim), small(4), name="type_embedding")
        self.gap_embedding = self.add_weight((GAP_BUCKETS, dim), small(5), name="gap_embedding")
        self.value_projection = self.add_weight((2, dim), small(6), name="value_projection")
        self.blocks = [
            Block(dim, s.num_heads, s.dropout, 1000 * seed + 100 * (i + 1), f"block_{i}", mixed_precision)
            for i in range(s.num_blocks)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")
        self.norm.build((None, None, dim))

    def item_table(self) -> Any:
        """[V, D]: an item's own embedding plus what its features say."""
        return self.item_embedding + tf.matmul(self.features, self.feature_projection)

    def item_rows(self, items: Any) -> Any:
        """[..., D]: those rows of `item_table()` alone; their gradient is of these rows too."""
        features = tf.gather(self.features, items)
        return tf.gather(self.item_embedding.value, items) + tf.tensordot(
            features, self.feature_projection, 1
        )

    def item_vectors(self) -> FloatArray:
        """[V, D + 1]: the bias is the last dimension."""
        vectors = tf.concat([self.item_table(), self.item_bias[:, None]], axis=1)
        return np.asarray(vectors, dtype=np.float32)

    def states(self, x: Any, batch: Batch, key: Any = None) -> Any:
        """[B, L, D]: the user as of each event, ready to be compared with item vectors.

        Args:
            x: [B, L, D], the rows of `item_table()` for the batch's items.
            batch: INPUTS, each [B, L], L at most history_length, left-padded with 0.
            key: `draws.key` of the step, decides what is dropped; None: nothing is (not training).
        """
        items = batch["items"]  # [B, L]
        is_event = tf.not_equal(items, 0)
        x += self.position_embedding[-tf.shape(items)[1] :]
        kinds = tf.gather(self.type_embedding, batch["types"])
        x += kinds + tf.gather(self.gap_embedding, gap_bucket(batch["gaps"]))
        x += tf.tensordot(value_columns(batch["values"]), self.value_projection, 1)
        x = dropout(x, self.settings.dropout, key, 0)
        x *= tf.cast(is_event, tf.float32)[..., None]
        for i, block in enumerate(self.blocks):
            x = block(x, is_event, key, place=10 * (i + 1))  # [B, L, D]
        return self.norm(x)

    def user_vectors(self, x: Any, batch: Batch) -> Any:
        """[B, D + 1]: the state after the newest event; the 1 at the end takes the item's bias.

        Args:
            x, batch: as in `states`.
        """
        return _with_one(self.states(x, batch)[:, -1])

    def loss_sums(
        self, batch: Batch, key: Any = None, gather: negatives.Gather = negatives.alone
    ) -> tuple[Any, Any]:
        """Sum of the weighted losses of a batch of windows, and the sum of the weights.

        Args:
            batch: INPUTS and `mask`, each [B, L + 1]; where the mask is 1, the event is predicted
                from those before it, and counts with its weight.
            key: as in `states`; also decides the augmentation and the negatives.
            gather: takes the targets' vectors [M, D + 1] and item numbers [M] of this worker, gives those
                of all workers, [G, D + 1] and [G], and the place of this worker's first among them. M
                differs by worker; item number 0 marks rows that only pad. Used by in-batch negatives.
        """
        s = self.settings
        before = {name: batch[name][:, :-1] for name in INPUTS}  # [B, L]
        shares = {"crop_share": s.crop_share, "mask_share": s.mask_share, "reorder_share": s.reorder_share}
        inputs, trains = augment(before, key, **shares)
        wanted = targets.select(batch, trains)

        def users(x: Any) -> Any:
            states = tf.reshape(self.states(x, inputs, key), [-1, s.embedding_dim])
            return tf.gather(states, wanted.places)  # [M, D]

        if self.sampled_softmax:
            users_then = _with_one(users(self.item_rows(inputs["items"])))  # [M, D + 1]
            return self.sampled_softmax(users_then, self._vectors, wanted, key, gather)
        table = self.item_table()  # [V, D]
        scores = tf.matmul(users(tf.gather(table, inputs["items"])), table, transpose_b=True)  # [M, V]
        return losses.softmax(scores + self.item_bias + self.not_trained, wanted.items, wanted.weights)

    def _vectors(self, items: Any) -> Any:
        """[M, D + 1]: as in `item_vectors`, of these items alone."""
        return tf.concat([self.item_rows(items), tf.gather(self.item_bias.value, items)[:, None]], axis=1)


def network(settings: Mapping[str, Any], items: Items, seed: int) -> SelfAttention:
    """The network before training.

    Args:
        settings: section `self_attention`, and history_length and num_types of the examples.
    """
    shapes = {name: settings[name] for name in Settings._fields if name != "num_items"}
    return SelfAttention(
        Settings(num_items=len(items.counts), **shapes), items, seed, bool(settings["mixed_precision"])
    )


def encoder(folder: Path, num_threads: int) -> Encode:
    """What encodes users by the model of a verified folder; it has a [V, D] less in memory than the network.

    Args:
        num_threads: TensorFlow's threads in this process; has no effect once TensorFlow has run here.

    Raises:
        BadDataError: a file of the folder cannot be read.
    """
    cap_threads(num_threads)
    settings = Settings(**folders.load_settings(folder))
    without_items = settings._replace(num_items=0, num_negatives=0, negatives="uniform")
    small = SelfAttention(without_items, Items(np.zeros(0, np.int64), np.zeros((0, 0), np.float32)))
    assign(small, folders.load_arrays(folder / WEIGHTS, OF_ITEMS), OF_ITEMS)
    return encoding(small, INPUTS, folders.load_array(folder / vectors.ITEM_VECTORS))


def _with_one(users: Any) -> Any:
    return tf.concat([users, tf.ones_like(users[:, :1])], axis=1)
