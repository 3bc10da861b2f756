"""One block of causal self-attention, and its stateless dropout.

Shapes: B batch, L events, D embedding_dim, H heads.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from recsys_spark.networks.draws import stream


class Block(keras.layers.Layer):  # type: ignore[misc]
    """Attention over the events so far, then a small network on each event; both add to `x`.

    In mixed precision matrix products are of bfloat16, whose range is that of float32, so that no loss is
    scaled; weights, norms, the softmax and `x` are float32.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        rate: float,
        seed: int,
        name: str,
        mixed_precision: bool = False,
    ) -> None:
        super().__init__(name=name)
        self.num_heads, self.rate, dim = num_heads, rate, embedding_dim
        policy = "mixed_bfloat16" if mixed_precision else "float32"

        def dense(units: int, inputs: int, part: str, place: int) -> keras.layers.Dense:
            start = keras.initializers.GlorotUniform(seed + place)
            layer = keras.layers.Dense(units, kernel_initializer=start, name=f"{name}.{part}", dtype=policy)
            layer.build((None, None, inputs))
            return layer

        def norm(part: str) -> keras.layers.LayerNormalization:
            layer = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}.{part}")
            layer.build((None, None, dim))
            return layer

        self.attention_norm, self.network_norm = norm("attention_norm"), norm("network_norm")
        self.qkv, self.out = dense(3 * dim, dim, "qkv", 0), dense(dim, dim, "out", 1)
        self.expand, self.contract = dense(4 * dim, dim, "expand", 2), dense(dim, 4 * dim, "contract", 3)
        self.built = True

    def call(self, x: Any, is_event: Any, key: Any, *, place: int) -> Any:
        """[B, L, D] to [B, L, D]; `place` keeps the dropouts of blocks apart."""
        attended = self.out(self._attend(self.attention_norm(x), is_event, key, place))
        x += dropout(tf.cast(attended, tf.float32), self.rate, key, place + 1)
        hidden = tf.nn.gelu(self.expand(self.network_norm(x)), approximate=True)  # [B, L, 4 D]
        return x + dropout(tf.cast(self.contract(hidden), tf.float32), self.rate, key, place + 2)

    def _attend(self, x: Any, is_event: Any, key: Any, place: int) -> Any:
        batch, length, dim = tf.shape(x)[0], tf.shape(x)[1], x.shape[2]
        size = dim // self.num_heads
        heads = tf.reshape(self.qkv(x), [batch, length, 3, self.num_heads, size])
        q, k, v = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]))  # each [B, H, L, D / H]
        scores = tf.cast(tf.matmul(q, k, transpose_b=True), tf.float32) / size**0.5  # [B, H, L, L]
        causal = tf.linalg.band_part(tf.ones([length, length], tf.bool), -1, 0)
        allowed = causal & is_event[:, None, None, :]
        share = tf.nn.softmax(tf.where(allowed, scores, -1e9))
        share = tf.cast(dropout(share, self.rate, key, place), v.dtype)
        mixed = tf.transpose(tf.matmul(share, v), [0, 2, 1, 3])  # [B, L, H, D / H]
        return tf.reshape(mixed, [batch, length, dim])


def dropout(x: Any, rate: float, key: Any, place: int) -> Any:
    """Zero a share `rate` of `x`, the rest scaled up; nothing without a key. Each place has its own stream."""
    if key is None or not rate:
        return x
    return tf.nn.experimental.stateless_dropout(x, rate, seed=stream(key, 1000 + place))
