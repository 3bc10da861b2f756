"""Users in, lists out: the frames around the ranking, and the one Python function Spark calls."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys_spark import tables
from recsys_spark.python_tasks import Made
from recsys_spark.ranking.warm_and_cold import ColdItems
from recsys_spark.scoring import known_models
from recsys_spark.scoring.catalogue import Catalogue
from recsys_spark.scoring.forms import HISTORY
from recsys_spark.scoring.known_models import LoadedModel
from recsys_spark.scoring.ranker import LEFT_OUT, ranker
from recsys_spark.scoring.rules import ListSettings

_PARTS_OF_ONE = 1_000_000


def only_active(user_features: DataFrame) -> DataFrame:
    """The users who get a list tonight."""
    return user_features.where("is_active")


def only_judged(user_features: DataFrame, truth: DataFrame) -> DataFrame:
    """The users whose list will be compared with what they did next."""
    return user_features.join(truth.select("user_idx"), "user_idx", how="left_semi")


def with_control(users: DataFrame, share: float) -> DataFrame:
    """Add `is_control`: true for a share of users, by hash of the user id, the same ones every night."""
    return users.withColumn("is_control", is_in_share(share, "control"))


def is_in_share(share: float, *salt: str) -> Column:
    """True for a share of users, by hash of `user_id` and the salt."""
    part = F.pmod(F.xxhash64(*map(F.lit, salt), "user_id"), F.lit(_PARTS_OF_ONE))
    return part < F.lit(round(share * _PARTS_OF_ONE))


def with_history(
    users: DataFrame, histories: DataFrame, seen: DataFrame, blocked: DataFrame, shown: DataFrame
) -> DataFrame:
    """Add the lists of HISTORIES and what users may not get; null where there is none. Cuts the frame for `lists`.

    `fingerprint` is null: lists without one are never kept for another night.

    Args:
        seen, blocked, shown: `user_idx` and `items`: SEEN_ITEMS, BLOCKED_ITEMS and `shown_often`.
    """
    full = users.join(histories.select("user_idx", *HISTORY), "user_idx", how="left")
    for name, rows in zip(LEFT_OUT, (seen, blocked, shown), strict=True):
        full = full.join(rows.select("user_idx", F.col("items").alias(name)), "user_idx", how="left")
    return full.select(
        "user_idx",
        "user_id",
        F.coalesce("segment", F.lit("")).alias("segment"),
        "age",
        "is_control",
        *HISTORY,
        *LEFT_OUT,
        F.lit(None).cast("long").alias("fingerprint"),
    )


def shown_often(
    recommendations: DataFrame, user_features: DataFrame, item_features: DataFrame, max_nights: int
) -> DataFrame:
    """`user_idx` and the `items` that stood in at least `max_nights` of the user's lists of these nights."""
    places = recommendations.select("user_id", "run_date", F.explode("items.item_id").alias("item_id"))
    often = places.groupBy("user_id", "item_id").agg(F.countDistinct("run_date").alias("num_nights"))
    return (
        often.where(F.col("num_nights") >= max_nights)
        .join(user_features.select("user_id", "user_idx"), "user_id", how="inner")
        .join(item_features.select("item_id", "item_idx"), "item_id", how="inner")
        .groupBy("user_idx")
        .agg(F.sort_array(F.collect_set("item_idx")).alias("items"))
    )


def without_seen(users: DataFrame) -> DataFrame:
    """Forget what was seen: lists may then repeat it."""
    return users.withColumn("seen", F.lit(None).cast("array<int>"))


def lists(
    users: DataFrame,
    items: Catalogue,
    load: Callable[[], LoadedModel] | None,
    settings: ListSettings,
    cut: str,
    run_date: dt.date,
    history: Sequence[str] = HISTORY,
    cold: ColdItems | None = None,
    judged_as: str | None = None,
) -> Made:
    """Rank the items for each user; one row of LISTS a user, in their order.

    Args:
        users: as `with_history` gives them.
        load: gives the model in each process; None gives popularity alone.
        history: the columns of the history that this ranking reads; the others are not carried to Python,
            which takes longer than reading them.
        cold: items that the model ranks beside those it was trained on.
        judged_as: counts every list as this recommender's, also those that its fallback filled: what the gate
            compares.
    """
    users = users.drop(*(name for name in HISTORY if name not in history))
    shared = users.sparkSession.sparkContext.broadcast((items, cold))

    def rank(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        known_models.cap_threads(settings.num_threads)
        packed = None
        for batch in batches:
            if packed is None:  # not before the first batch: a partition without users loads nothing
                all_items, cold_items = shared.value
                packed = ranker(all_items, load() if load else None, settings, cold_items)
            for start in range(0, batch.num_rows, settings.batch_users):
                some = batch.slice(start, settings.batch_users)
                yield rows(packed.lists(some), some["fingerprint"], cut, run_date, judged_as)

    return Made(users, rank, tables.LISTS.schema)


def rows(
    ranked: pa.RecordBatch, fingerprint: pa.Array, cut: str, run_date: dt.date, judged_as: str | None = None
) -> pa.RecordBatch:
    """Rows of LISTS from those that a ranker gives."""
    same = {"ranked_on": run_date, "cut": cut, "run_date": run_date}
    if judged_as is not None:
        same["recommender"] = judged_as
    found = dict(zip(ranked.schema.names, ranked.columns, strict=True)) | {"fingerprint": fingerprint}
    found |= {name: pa.repeat(pa.scalar(value), len(ranked)) for name, value in same.items()}
    names = tables.LISTS.schema.names
    return pa.RecordBatch.from_arrays([found[name] for name in names], names=names)
