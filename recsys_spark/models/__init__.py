"""The recommenders, one file each: this page says what each is, and imports none of them.

A file here holds either of two functions, and knows nothing of lakes, roles, versions or manifests:

    def network(settings, items, seed) -> Network     and `encoder(folder, num_threads)`, what encodes users at scoring
    def fit(examples, items, settings) -> Form
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from types import ModuleType
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # TensorFlow's notes at start tell nobody anything


class Recommender(NamedTuple):
    """What a recommender is.

    Attributes:
        learns_from: the table of examples; None: what item_features count is enough.
        fitted_by: network | arrays | spark | members | nobody.
        form: what a fitted one is; see `forms`.
        reads: what ranking reads of a user: columns of `histories`, and "bag" for `bags`.
        has_exact_reasons: whether it says why at no cost, whatever recommend.explain is.
    """

    learns_from: str | None
    fitted_by: str
    form: str
    reads: tuple[str, ...]
    has_exact_reasons: bool = False


ALL = {
    "self_attention": Recommender(
        "sequence_examples", "network", "vectors", ("items", "types", "values", "gaps", "weights")
    ),
    "transitions": Recommender("sequence_examples", "spark", "item_item", ("items",), True),
    "ease": Recommender("bags", "arrays", "item_item", ("bag",), True),
    "personal_frequency": Recommender(None, "arrays", "item_item", ("items", "gaps"), True),
    "popularity": Recommender(None, "nobody", "segments", ()),
    "blend": Recommender(None, "members", "blend", ()),
}
POPULARITY, BLEND = "popularity", "blend"  # what fills places that others leave empty; what merges several


def module(name: str) -> ModuleType:
    """The file of a recommender; a network's starts TensorFlow."""
    return importlib.import_module(f"recsys_spark.models.{name}")


def trained(recommenders: Iterable[str]) -> list[str]:
    """Those of some recommenders that learn anything."""
    return [name for name in recommenders if ALL[name].fitted_by != "nobody"]


def reads_bags(recommenders: Iterable[str]) -> bool:
    """Whether ranking by some of these recommenders reads `bags`."""
    return any("bag" in ALL[name].reads for name in recommenders)


def tables_of_users(recommenders: Iterable[str], is_training: bool) -> set[str]:
    """Names of the tables, beside histories, that these recommenders learn from tonight or read for lists."""
    names = list(recommenders)
    learnt = {ALL[name].learns_from for name in names if is_training}
    return {name for name in learnt if name} | ({"bags"} if reads_bags(names) else set())


def ranked_by(recommenders: Iterable[str]) -> str:
    """What fills the lists where these recommenders are set: the only one, or the blend of several."""
    names = trained(recommenders)
    return POPULARITY if not names else names[0] if len(names) == 1 else BLEND
