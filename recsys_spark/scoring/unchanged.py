"""Lists of an earlier night that still hold, since nothing they are made of has changed.

A list is made of its user's row, as `user_rows.with_history` gives it, and of what the lists of a night share. Both
go into its fingerprint; where tonight's is that of the earlier list, ranking again would give that list.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark import tables
from recsys_spark.errors import KeptListError
from recsys_spark.models import POPULARITY
from recsys_spark.python_tasks import FromPython
from recsys_spark.scoring import lists
from recsys_spark.scoring.bases import Basis
from recsys_spark.scoring.partitions import in_file_order, in_ranges
from recsys_spark.scoring.ranker import NEW_ITEMS
from recsys_spark.scoring.rules import ListSettings
from recsys_spark.scoring.user_rows import is_in_share

log = logging.getLogger(__name__)

_LEAST_CHECKED = 20  # users on average, however small the share
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


def night_lists(
    parted: Parted, basis: Basis, settings: ListSettings, run_date: dt.date, num_partitions: int
) -> list[FromPython]:
    """Rows of LISTS of cut night, in ranges of users: those that are ranked, and those that are kept.

    The workers write the kept ones too: quicker than Spark, and as ranked ones are.
    """
    ranked = in_ranges(parted.ranked, num_partitions)
    parts = [lists.lists(ranked, basis, settings, lists.Lot("night", run_date))]
    if parted.kept is not None:
        parts.append(FromPython(tables.LISTS.check(in_file_order(parted.kept)), iter, tables.LISTS.schema))
    return parts


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
