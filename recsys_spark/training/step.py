"""One gradient step, the same on one worker and on many.

The loss of a step is the sum of the weighted losses of all workers over the sum of all their weights,
so that many workers take the step that one worker with all their batches would take. Dense gradients are
summed over the workers; those of embedding rows travel as (indices, values) and are concatenated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from recsys_spark.networks.network import Network
from recsys_spark.training.cluster import Cluster
from recsys_spark.training.columns import ColumnType
from recsys_spark.training.optimizers import Optimizer


def step_function(
    network: Network, optimizer: Optimizer, cluster: Cluster, columns: Mapping[str, ColumnType]
) -> Callable[[Mapping[str, Any], Any], Any]:
    """A compiled step: batch and key in, [sum of losses, sum of weights] over all workers out.

    It is compiled once, for batches of any size: which sizes came first would else decide which of two
    graphs a batch goes through, and two graphs differ in bits.
    """

    def gather(vectors: Any, items: Any) -> tuple[Any, Any, Any]:
        """The in-batch targets of all workers; see `negatives.Gather`."""
        if cluster.num_workers == 1:
            return vectors, items, 0
        nums = cluster.gather(tf.shape(items))  # [workers]
        return cluster.gather(vectors), cluster.gather(items), tf.reduce_sum(nums[: cluster.worker])

    def step(batch: Mapping[str, Any], key: Any) -> Any:
        with tf.GradientTape() as tape:
            losses, weights = network.loss_sums(batch, key, gather)
            all_weights = cluster.add_up(weights)
            loss = tf.math.divide_no_nan(losses, all_weights)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply(_of_all(gradients, cluster))
        return tf.stack([cluster.add_up(losses), all_weights])

    batch_type = {name: tf.TensorSpec((None, *kind.row_shape), kind.dtype) for name, kind in columns.items()}
    return cluster.compiled(step, [batch_type, tf.TensorSpec([2], tf.int64)])


def _of_all(gradients: list[Any], cluster: Cluster) -> list[Any]:
    """The workers' gradients summed: the dense ones together, rows of embeddings one after another."""
    dense = iter(cluster.add_up([g for g in gradients if not isinstance(g, tf.IndexedSlices)]))
    return [
        tf.IndexedSlices(cluster.gather(g.values), cluster.gather(g.indices), g.dense_shape)
        if isinstance(g, tf.IndexedSlices)
        else next(dense)
        for g in gradients
    ]
