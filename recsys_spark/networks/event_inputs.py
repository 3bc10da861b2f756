"""The numbers of an event as the network takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

GAP_BUCKETS = 33  # powers of two up to 2^31 - 1 seconds, and 0


def gap_bucket(gaps: Any) -> Any:
    """0 for no gap, else 1 + floor(log2(seconds))."""
    return tf.where(
        gaps > 0,
        1 + tf.cast(tf.math.log(tf.cast(tf.maximum(gaps, 1), tf.float32)) / np.log(2.0), tf.int32),
        0,
    )


def value_columns(values: Any) -> Any:
    """[..., 2] of values [...]: the value on a log scale, 0 when it is missing (NaN), and whether it is."""
    values = tf.cast(values, tf.float32)
    missing = tf.math.is_nan(values)
    values = tf.where(missing, 0.0, values)
    values = tf.sign(values) * tf.math.log1p(tf.abs(values))
    return tf.stack([values, tf.cast(missing, tf.float32)], axis=-1)
