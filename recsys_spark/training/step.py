"""One gradient step, the same on one worker and on many.

The loss of a step is the sum of the weighted losses of all workers over the sum of all their weights,
so that many workers take the step that one worker with all their batches would take. Dense gradients are
summed over the workers; those of embedding rows travel as (indices, values) and are concatenated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from recsys_spark.models.self_attention_network import SelfAttention
from recsys_spark.training.columns import ColumnType
from recsys_spark.training.optimizers import Optimizer


class Cluster(NamedTuple):
    """How a worker speaks with the others.

    Attributes:
        is_chief: this worker judges and writes the checkpoints.
        add_up: a tensor summed over the workers.
        gather: a tensor's rows of all workers, in the workers' order.
        from_chief: what the function gives on the chief; the others do not call it.
    """

    is_chief: bool
    add_up: Callable[[Any], Any]
    gather: Callable[[Any], Any]
    from_chief: Callable[[Callable[[], float]], float]


def _itself(tensor: Any) -> Any:
    return tensor


def _called(function: Callable[[], float]) -> float:
    return function()


ALONE = Cluster(True, _itself, _itself, _called)


def step_function(
    network: SelfAttention, optimizer: Optimizer, cluster: Cluster, columns: Mapping[str, ColumnType]
) -> Callable[[Mapping[str, Any], Any], Any]:
    """A compiled step: batch and key in, [sum of losses, sum of weights] over all workers out.

    It is compiled once, for batches of any size: which sizes came first would else decide which of two
    graphs a batch goes through, and two graphs differ in bits.
    """
    batch_type = {name: tf.TensorSpec((None, *kind.row_shape), kind.dtype) for name, kind in columns.items()}

    @tf.function(input_signature=[batch_type, tf.TensorSpec([2], tf.int64)])  # type: ignore[untyped-decorator]
    def step(batch: Mapping[str, Any], key: Any) -> Any:
        with tf.GradientTape() as tape:
            losses, weights = network.loss_sums(batch, key)
            all_weights = cluster.add_up(weights)
            loss = tf.math.divide_no_nan(losses, all_weights)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply([_of_all(gradient, cluster) for gradient in gradients])
        return tf.stack([cluster.add_up(losses), all_weights])

    return step  # type: ignore[no-any-return]


def _of_all(gradient: Any, cluster: Cluster) -> Any:
    if isinstance(gradient, tf.IndexedSlices):
        values, indices = cluster.gather(gradient.values), cluster.gather(gradient.indices)
        return tf.IndexedSlices(values, indices, gradient.dense_shape)
    return cluster.add_up(gradient)
