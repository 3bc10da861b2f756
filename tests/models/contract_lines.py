"""One line a recommender: what the contract of all of them must know of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from contract_shop import NUM_TRAINED

UNSEEN, REPEATED, POPULAR = "unseen items of the user's group", "what the user repeats", "what is popular"


class Line(NamedTuple):
    """What differs between recommenders.

    Attributes:
        finds: what the first places must hold: UNSEEN | REPEATED | POPULAR.
        section: settings that the small shop needs, beside those of conf/base.yaml.
        first_loss: of a network before training, as its docstring says.
        floats: the column of its examples whose numbers reach the model; None: it reads none.
    """

    finds: str
    section: Mapping[str, Any] = {}
    first_loss: float | None = None
    floats: str | None = None


SMALL_NETWORK = {
    "embedding_dim": 16, "num_blocks": 1, "num_heads": 1, "dropout": 0.0, "learning_rate": 0.02, "epochs": 12,
    "batch_size": 64,
}  # fmt: skip
LINES = {
    "self_attention": Line(UNSEEN, SMALL_NETWORK, first_loss=math.log(NUM_TRAINED), floats="weights"),
    "transitions": Line(UNSEEN, floats="weights"),
    "ease": Line(UNSEEN, {"regularization": 5.0, "weight_power": 0.5}, floats="weights"),
    "personal_frequency": Line(REPEATED),
    "popularity": Line(POPULAR),
    "blend": Line(UNSEEN),
}
