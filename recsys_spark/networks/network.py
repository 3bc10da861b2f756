"""What a neural recommender offers to training and to scoring, whatever it is made of.

Shapes: B batch, L events, V items, D embedding_dim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_spark.networks.negatives import Gather

FEATURE_PROJECTION = "feature_projection"  # the name of the weights whose rows are item features

Batch = Mapping[str, Any]
Array = NDArray[Any]


class Items(NamedTuple):
    """The items that a network learns: training events of each [V], 0 for none, and features [V, F]."""

    counts: NDArray[np.int64]
    features: NDArray[np.float32]


class Network(Protocol):
    """A network whose user and item vectors' inner product scores an item.

    Attributes:
        name: of the recommender.
        settings: what fixes its shapes and its loss, as a named tuple that JSON can hold.
        trainable_variables: of Keras, in their order.
        constants: arrays that `weights` holds beside the trained ones.
        feature_rows: names of the variables whose rows are item features, which go by name from night to night; the
            rows of all others are items, or nothing that grows.
        shapes: names of the settings that fix what the trained arrays mean; num_items is none, as items only grow.
    """

    name: str
    settings: Any
    trainable_variables: list[Any]
    constants: Mapping[str, Array]
    feature_rows: tuple[str, ...]
    shapes: tuple[str, ...]

    def loss_sums(self, batch: Batch, key: Any, gather: Gather) -> tuple[Any, Any]:
        """Sum of the weighted losses of a batch, and the sum of its weights."""

    def item_table(self) -> Any:
        """[V, D]: what `user_vectors` takes rows of."""

    def item_vectors(self) -> NDArray[np.float32]:
        """[V, D + 1]: the bias is the last dimension."""

    def user_vectors(self, x: Any, batch: Batch) -> Any:
        """[B, D + 1] of histories [B, L] and the rows [B, L, D] of their items in `item_table`."""


def named(network: Network) -> dict[str, Any]:
    """The trained variables as TensorFlow's own, by name, in the network's order."""
    return {
        str(variable.path).removeprefix(f"{network.name}/"): variable.value
        for variable in network.trainable_variables
    }


def weights_of(network: Network) -> dict[str, Array]:
    """All that a network is made of beside its settings, by name; its constants included."""
    return {name: np.asarray(variable) for name, variable in named(network).items()} | dict(network.constants)


def assign(network: Network, weights: Mapping[str, Array], left_out: tuple[str, ...] = ()) -> None:
    """Give a network its weights.

    Args:
        left_out: names that stay as they are.

    Raises:
        KeyError, ValueError: they do not fit.
    """
    for name, variable in named(network).items():
        if name not in left_out:
            variable.assign(weights[name])
