"""Users in, lists out: the one Python function that Spark calls for rankings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame

from recsys_spark import tables
from recsys_spark.forms.form import HISTORY
from recsys_spark.models import POPULARITY
from recsys_spark.python_tasks import FromPython
from recsys_spark.scoring import loaded_models, stored_models
from recsys_spark.scoring.bases import Basis
from recsys_spark.scoring.partitions import in_file_order
from recsys_spark.scoring.ranker import ranker
from recsys_spark.scoring.rules import ListSettings, Rerank
from recsys_spark.scoring.user_rows import BAG_COLUMNS, read_columns


class Lot(NamedTuple):
    """Lists that are made alike: by one recommender, for one cut.

    Attributes:
        judged_as: counts every list as this recommender's, also those that its fallback filled: what the gate
            compares; None: each list says who filled it.
    """

    cut: str
    run_date: dt.date
    judged_as: str | None = None


def lists(users: DataFrame, basis: Basis, settings: ListSettings, lot: Lot) -> FromPython:
    """Rank the items for each user; one row of LISTS a user, in their order.

    Args:
        users: as `user_rows.with_history` gives them. Columns that this ranking does not read are not carried to
            Python, which takes longer than reading them.
    """
    read = read_columns(stored_models.reads(basis.model, settings.rerank.by))
    users = users.drop(*(name for name in (*HISTORY, *BAG_COLUMNS) if name not in read))
    shared = users.sparkSession.sparkContext.broadcast((basis.items, basis.cold))
    model, num_threads = basis.model, settings.num_threads
    load = partial(loaded_models.load, model, num_threads) if model else None

    def rank(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        loaded_models.cap_threads(num_threads)
        packed = None
        for batch in batches:
            if packed is None:  # not before the first batch: a partition without users loads nothing
                items, cold = shared.value
                packed = ranker(items, load() if load else None, settings, cold)
            for start in range(0, batch.num_rows, settings.batch_users):
                part = batch.slice(start, settings.batch_users)
                yield rows(packed.lists(part), part["fingerprint"], lot)

    return FromPython(users, rank, tables.LISTS.schema)


def judged_lists(
    users: DataFrame, basis: Basis, settings: ListSettings, run_date: dt.date, num_partitions: int
) -> list[FromPython]:
    """The lists of cut test: by popularity, by the twin, by each member of a blend.

    Those of a re-ranked twin also as they were before, to see what it cost.

    Args:
        users: who is judged, as `lists` takes them.
        basis: of cut test.
    """
    by = judged_by(basis, settings)
    users = in_file_order(users.repartition(num_partitions, "user_id"))
    return [
        lists(users, recommender, how, Lot("test", run_date, judged_as=name))
        for name, (recommender, how) in by.items()
    ]


def judged_by(basis: Basis, settings: ListSettings) -> dict[str, tuple[Basis, ListSettings]]:
    """By the name of each recommender that is judged, what its lists are made of, and how."""
    how = settings._replace(explain=False)
    by = {POPULARITY: (Basis(basis.items, None), how)}
    if basis.model:
        for member in basis.model.members:
            by[member.name] = (Basis(basis.items, member), how)
        by[basis.model.name] = (basis, how)
        if settings.rerank.by != "none":
            before = f"{basis.model.name}_before_{settings.rerank.by}"
            by[before] = (basis, how._replace(rerank=Rerank()))
    return by


def rows(ranked: pa.RecordBatch, fingerprint: pa.Array, lot: Lot) -> pa.RecordBatch:
    """Rows of LISTS from those that a ranker gives."""
    same = {"ranked_on": lot.run_date, "cut": lot.cut, "run_date": lot.run_date}
    if lot.judged_as is not None:
        same["recommender"] = lot.judged_as
    columns = dict(zip(ranked.schema.names, ranked.columns, strict=True)) | {"fingerprint": fingerprint}
    columns |= {name: pa.repeat(pa.scalar(value), len(ranked)) for name, value in same.items()}
    names: Sequence[str] = tables.LISTS.schema.names
    return pa.RecordBatch.from_arrays([columns[name] for name in names], names=names)
