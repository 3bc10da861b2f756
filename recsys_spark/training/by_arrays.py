"""Fit one role of a recommender by NumPy, on the driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from recsys_spark import models
from recsys_spark.forms import item_item
from recsys_spark.ranking.item_item import UserItems
from recsys_spark.scoring.python_memory import machine
from recsys_spark.tables import DataFile
from recsys_spark.training.files import named, open_parquet
from recsys_spark.training.lessons import Lesson, digest, num_events
from recsys_spark.training.night import FitRole, Fitted


def fitting(name: str, section: Mapping[str, Any], num_threads: int) -> FitRole:
    """What fits a role of the recommender `name`.

    Args:
        section: the recommender's own settings.
        num_threads: of BLAS; part of what makes two runs equal.

    Its calls raise:
        BadDataError: a file of the examples cannot be read.
        SettingsError: what is fitted does not fit into memory.
    """

    def fit_role(role: str, lesson: Lesson, epochs: int | None) -> Fitted:
        counts, bags = num_events(lesson.items), read_bags(_rows(lesson.examples))
        with threadpool_limits(num_threads):
            form = models.module(name).fit(bags, counts, {**section, "memory_bytes": machine()[0]})
        facts = {
            "settings": dict(section),
            "libraries": {"numpy": version("numpy")},
            "num_threads": num_threads,
            "data": {
                "rows": bags.num_users,
                "sha256": digest(bags.starts, bags.items, bags.weights),
                "items_sha256": digest(counts),
            },
        }
        return Fitted(len(counts), partial(item_item.save, settings=dict(section), form=form), facts)

    return fit_role


def read_bags(rows: pa.Table) -> UserItems:
    """Rows of BAGS as the items of users, in their order."""
    rows = rows.combine_chunks()
    starts = np.concatenate([[0], np.cumsum(pc.list_value_length(rows["items"]).to_numpy())]).astype(np.int64)
    items, weights = (rows[name].combine_chunks().flatten().to_numpy() for name in ("items", "weights"))
    return UserItems(starts, items, weights, is_distinct=True)


def _rows(files: Sequence[DataFile]) -> pa.Table:
    """Rows of BAGS, in the files' order.

    Raises:
        BadDataError: a file cannot be read.
    """
    parts = [
        pa.table(
            {"items": pa.array([], pa.list_(pa.int32())), "weights": pa.array([], pa.list_(pa.float32()))}
        )
    ]
    for file in sorted(files, key=lambda file: file.uri.rpartition("/")[2]):
        with named(file.uri), open_parquet(file.uri) as opened:
            parts.append(opened.read(["items", "weights"]).cast(parts[0].schema))
    return pa.concat_tables(parts)
