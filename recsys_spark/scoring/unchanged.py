"""Lists of an earlier night that still hold, since nothing they are made of has changed.

A list is made of its user's row, as `user_rows.with_history` gives it, and of what the lists of a night share. Both
go into its fingerprint; where tonight's is that of the earlier list, ranking again would give that list.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from importlib import resources
from importlib.metadata import distributions
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark import tables
from recsys_spark.errors import KeptListError
from recsys_spark.forms import folder as folders
from recsys_spark.models import POPULARITY
from recsys_spark.python_tasks import Made
from recsys_spark.ranking.beyond_accuracy import Categories
from recsys_spark.scoring import lists, stored_models
from recsys_spark.scoring.bases import Basis
from recsys_spark.scoring.partitions import in_file_order
from recsys_spark.scoring.ranker import NEW_ITEMS
from recsys_spark.scoring.rules import ListSettings
from recsys_spark.scoring.user_rows import LEFT_OUT, is_in_share, read_columns

log = logging.getLogger(__name__)

# Packages that decide the last bit of a score, beside this one's own code.
_PACKAGES = ("numpy", "numba", "llvmlite", "keras", "tensorflow", "tensorflow-cpu")
_LEAST_CHECKED = 20  # users on average, however small the share
_OF_USER = ("segment", "age", "is_control")
_MADE = (
    "items",
    "scores",
    "filled_by",
    "because",
    "because_scores",
    "recommender",
    "model_version",
    "reason",
)


class Parted(NamedTuple):
    """The users of a night, as `user_rows.with_history` gives them, and the lists that some of them keep.

    Attributes:
        ranked: with another fingerprint than their earlier list's, or without one that may be kept.
        checked: a sample of those who keep theirs, to be ranked and compared with their rows of LISTS; None:
            nobody keeps one.
        kept: rows of LISTS of an earlier night, for tonight.
    """

    ranked: DataFrame
    checked: tuple[DataFrame, DataFrame] | None = None
    kept: DataFrame | None = None

    @property
    def to_rank(self) -> DataFrame:
        """All who are ranked, be it to compare."""
        return self.ranked if self.checked is None else self.ranked.unionByName(self.checked[0])


def basis_hash(basis: Basis, settings: ListSettings) -> str:
    """sha256 of what the lists of a night share: model, code, settings, who may get what, caps, cold items.

    Of the catalogue only what the model can rank counts: another item that comes or goes changes no list that
    the model alone has filled. Fetches the model.

    Args:
        basis: with a model.
    """
    digest = hashlib.sha256()
    for part in _parts(basis, settings):
        data = part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode()
        digest.update(len(data).to_bytes(8))  # so that what ends one part cannot begin the next
        digest.update(data)
    return digest.hexdigest()


def _parts(basis: Basis, settings: ListSettings) -> Iterator[Any]:
    items, model, cold = basis
    if model is None:
        return
    is_trained = folders.load_trained_items(model.fetch(model.version))
    num_items = max(len(is_trained), int(cold.item_idx.max()) + 1 if cold else 0)
    yield [(name, package.version) for name in _PACKAGES for package in distributions(name=name)]
    yield list(_sources(resources.files("recsys_spark")))
    yield model.name, sorted(model.files.items())  # a blend's name their members' versions
    yield settings._replace(batch_users=0, num_threads=0)  # neither decides what a list holds
    eligible = items.eligible
    yield from (eligible.of_form(is_trained).kind, eligible.factors, eligible.segments, eligible.age_limits)
    if items.caps is not None:
        starts = items.caps.starts[: num_items + 1]
        groups = items.caps.groups[: starts[-1]]
        yield from (starts, groups, items.caps.most[groups])
    if settings.rerank.by != "none":
        yield from _first(items.categories, num_items)
    if cold is not None:
        yield from cold


def _sources(folder: Traversable) -> Iterator[tuple[str, str]]:
    """Name and sha256 of every Python file: the package's version does not say what a checkout has changed."""
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir():
            yield from _sources(entry)
        elif entry.name.endswith(".py"):
            yield entry.name, hashlib.sha256(entry.read_bytes()).hexdigest()


def _first(categories: Categories, num_items: int) -> tuple[Any, Any]:
    starts = categories.starts[: num_items + 1]
    return starts, categories.codes[: starts[-1]]


def with_fingerprint(users: DataFrame, basis: Basis, settings: ListSettings) -> DataFrame:
    """Set `fingerprint`, 64 bits of a hash over the user's row and all that the lists of a night share.

    Args:
        users: as `user_rows.with_history` gives them.
        basis: with a model.
    """
    read = read_columns(stored_models.reads(basis.model, settings.rerank.by))
    # xxhash64 passes over nulls and over where a list ends: so say which are null, and how long lists are.
    parts = [F.lit(basis_hash(basis, settings))]
    for name in _OF_USER:
        parts += [F.isnull(name), F.col(name)]
    for name in (*read, *LEFT_OUT):
        parts += [F.coalesce(F.size(name), F.lit(-1)), F.col(name)]
    return users.withColumn("fingerprint", F.xxhash64(*parts))


def only_by_model(lists: DataFrame) -> DataFrame:
    """The rows of LISTS that no night may change by itself: full, and without popularity, which ages every night."""
    changing = F.exists("filled_by", lambda run: run["source"].isin(POPULARITY, NEW_ITEMS))
    return lists.where(F.col("fingerprint").isNotNull() & F.col("reason").isNull() & ~changing)


@contextmanager
def parted(users: DataFrame, earlier: DataFrame | None, share: float, run_date: dt.date) -> Iterator[Parted]:
    """Part the users by whether their earlier list still holds; the frames are for use within.

    Args:
        users: of `with_fingerprint`.
        earlier: rows of LISTS of one night and cut; None: there are none.
        share: of those who keep their list, drawn by hash of the user and the night, who are ranked as well; of
            few users a larger share, so that about 20 are; 0: nobody.
    """
    if earlier is None:
        yield Parted(users)
        return
    earlier = only_by_model(earlier)
    # The hash reads every column of every user: once is enough. Losing an executor makes Spark do it again.
    same = users.select("user_idx", "user_id", "fingerprint").join(
        earlier.select("user_idx", "fingerprint"), ["user_idx", "fingerprint"], how="left_semi"
    )
    same = same.select("user_idx", "user_id").persist()
    try:
        num_kept = same.count()
        log.info("lists_kept kept=%d", num_kept)
        if share:
            share = min(1.0, max(share, _LEAST_CHECKED / max(1, num_kept)))
        sample = same.where(is_in_share(share, "checked", str(run_date)))
        yield Parted(
            users.join(same, "user_idx", how="left_anti"),
            (
                users.join(sample, "user_idx", how="left_semi"),
                earlier.join(sample, "user_idx", how="left_semi"),
            ),
            earlier.join(same, "user_idx", how="left_semi").withColumn("run_date", F.lit(run_date)),
        )
    finally:
        same.unpersist()


def as_they_are(parted: Parted) -> list[Made]:
    """Rows of LISTS that are kept, for the workers to write: quicker than Spark, and as ranked ones are."""
    if parted.kept is None:
        return []
    return [Made(tables.LISTS.check(in_file_order(parted.kept)), iter, tables.LISTS.schema)]


def refuse_different(parted: Parted, basis: Basis, settings: ListSettings, run_date: dt.date) -> None:
    """Rank the sample of those who keep their list, and compare; says how many there were.

    Args:
        basis: of tonight.

    Raises:
        KeptListError: a list came out differently.
    """
    if parted.checked is None:
        return
    users, kept = parted.checked
    again = lists.lists(users, basis, settings, lists.Lot("night", run_date)).rows()
    old = kept.select("user_idx", F.struct("ranked_on", *_MADE).alias("old"))
    is_same = reduce(
        lambda one, two: one & two, (F.col(name).eqNullSafe(F.col(f"old.{name}")) for name in _MADE)
    )
    compared = again.join(old, "user_idx", how="inner").select(
        "user_idx", "old.ranked_on", is_same.alias("is_same")
    )
    different = F.when(~F.col("is_same"), F.struct("user_idx", "ranked_on"))
    [row] = compared.agg(F.count("*"), F.count(different), F.min(different)).collect()
    num_checked, num_different, first = row
    if num_different:
        raise KeptListError(
            f"lists: {num_different} of {num_checked} users whose list was to be kept get another one when they are "
            f"ranked again, the first is user_idx {first['user_idx']}, ranked on {first['ranked_on']}: workers that "
            "compute differently, or a cause of change that their fingerprint lacks; run recommend with "
            "--set recommend.only_changed=false, which ranks everybody, and report it"
        )
    log.info("lists_checked checked=%d", num_checked)


def num_kept(ranked_on: pa.ChunkedArray, run_date: dt.date) -> int:
    """How many lists of a night an earlier one ranked."""
    return int(pc.sum(pc.less(ranked_on, pa.scalar(run_date))).as_py() or 0)
