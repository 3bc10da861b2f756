"""The form `vectors`: the score is the inner product of a user's vector and an item's, the item's bias included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.forms import folder as folders
from recsys_spark.forms import item_based
from recsys_spark.forms.form import BAG, Eligible, Explain, Needs, Rank, Similar, Size, Users, only_known
from recsys_spark.forms.inner_product import by_inner_product, directions
from recsys_spark.forms.reasons import Reasons, by_leaving_out
from recsys_spark.ranking import top_n as exact
from recsys_spark.ranking import warm_and_cold
from recsys_spark.ranking.left_out import LeftOut
from recsys_spark.ranking.survivors import cells_of
from recsys_spark.ranking.top_n import Lists, candidates, top_n
from recsys_spark.ranking.warm_and_cold import ColdItems

ITEM_VECTORS, ITEM_DIRECTIONS = "item_vectors.npy", "item_directions.npy"
WEIGHTS = "weights.safetensors"  # of what encodes users, where that has any

_TENSORFLOW, _TENSORFLOW_ADDRESSES = 560 << 20, 768 << 20
_ENCODE_USERS = 256
_COLD = 3  # vectors of cold items as they came, unpacked, and their directions
_REASON = 20  # bytes: a number of a listed item's vector

Array = NDArray[Any]
FloatArray = NDArray[np.float32]
Encode = Callable[[Users], FloatArray]


@dataclass(frozen=True)
class Vectors:
    """`encode` gives user vectors [B, D+1] of users; `item_vectors` [V, D+1], bias last.

    `directions` [V, D] are the item vectors of length 1, without the bias: their products are cosines.

    A user's vector does not depend on the others of the batch, nor on how many they are.
    """

    encode: Encode
    item_vectors: FloatArray
    directions: FloatArray
    is_trained: NDArray[np.bool_]

    def ranking(self, eligible: Eligible, cold: ColdItems | None = None) -> Rank:
        """See Form; scores are logits: the logarithm of a boost is added, which multiplies the odds."""
        with np.errstate(divide="ignore"):
            offsets = np.log(eligible.factors)
        items = warm_and_cold.candidates(self.item_vectors, eligible.kind, offsets, cold)
        return lambda users: by_inner_product(self.encode(users), items)

    def explaining(
        self, eligible: Eligible, num_reasons: int, is_costly_allowed: bool, cold: ColdItems | None = None
    ) -> Explain | None:
        """See Form; costly: a user is encoded again without each item."""
        if not is_costly_allowed:
            return None

        def explain(users: Users, group: Array, left_out: LeftOut, lists: Lists) -> Reasons:
            histories = {name: values for name, values in users.items() if name != BAG}
            known = {**histories, "items": only_known(users["items"], len(self.is_trained))}
            vectors = warm_and_cold.vectors_of(self.item_vectors, cold, lists.item_idx)
            return by_leaving_out(known, lists, self.encode, vectors, num_reasons)

        return explain

    def of_few_events(
        self, eligible: Eligible, num_reasons: int, cold: ColdItems | None = None
    ) -> tuple[Rank, Explain]:
        """See Form; the items most similar to the user's own."""
        return item_based.item_based(self, eligible, num_reasons, cold)

    def similar(self, eligible: Eligible) -> Similar:
        """See Form; by the cosine of item vectors."""
        others = candidates(self.directions, (eligible.kind > 0).astype(np.int32))

        def most_similar(item_idx: Array, num_similar: int) -> Lists:
            itself = (np.arange(len(item_idx)), item_idx)
            return top_n(self.directions[item_idx], others, num_similar, itself)

        return most_similar


def save(
    folder: Path, settings: Mapping[str, Any], item_vectors: FloatArray, trained_items: NDArray[np.bool_]
) -> dict[str, str]:
    """Write the folder, but for what encodes users; returns each file's sha256 by name.

    Args:
        item_vectors: [V, D + 1].
        trained_items: [V], true where an item had a training event: the candidates.
    """
    arrays: dict[str, Array] = {
        ITEM_VECTORS: np.asarray(item_vectors, np.float32),
        ITEM_DIRECTIONS: directions(item_vectors),
        folders.TRAINED_ITEMS: trained_items.astype(np.bool_),
    }
    return folders.save(folder, settings, arrays)


def needs(folder: Path, size: Size) -> Needs:
    """Both arrays of vectors, the scores of a block of users, and TensorFlow where a network encodes them."""
    num_items, width = folders.load_array(folder / ITEM_VECTORS).shape
    block_items, block_users = exact.blocks(width, size.pool_items)
    block_items, block_users = min(block_items, num_items), min(block_users, size.batch_users)
    ranking = 8 * block_users * (cells_of(size.pool_items) + width) + 4 * block_items * width
    beside = _COLD * 4 * size.num_cold * width + (
        _REASON * size.num_places * width if size.is_explained else 0
    )
    shared = 4 * num_items * (2 * width - 1)
    if not (folder / WEIGHTS).is_file():
        return Needs(shared, ranking, beside)
    length = size.history_length
    encoding = (
        _ENCODE_USERS * 4 * (4 * length * length + 8 * length * width)
    )  # attention of some heads, events' vectors
    return Needs(shared, ranking, beside, _TENSORFLOW + encoding, _TENSORFLOW_ADDRESSES)


def load(folder: Path, encode: Encode) -> Vectors:
    """The form of a verified folder; item vectors are memory maps, shared by the processes of a machine.

    Raises:
        BadDataError: a file of the folder cannot be read.
    """
    item_vectors, unit_vectors = (
        folders.load_array(folder / name) for name in (ITEM_VECTORS, ITEM_DIRECTIONS)
    )
    return Vectors(encode, item_vectors, unit_vectors, folders.load_trained_items(folder))
