"""Fit one role of a recommender by Spark: its rows become arrays on the driver."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

from recsys_spark import models
from recsys_spark.forms import item_item
from recsys_spark.training.lessons import Lesson, digest, num_events
from recsys_spark.training.night import FitRole, Fitted
from recsys_spark.transforms import content_hash


def fitting(name: str, section: Mapping[str, Any]) -> FitRole:
    """What fits a role of the recommender `name`.

    Args:
        section: the recommender's own settings.

    Its calls raise:
        BadDataError: examples hold an item that the items' features do not count.
    """

    def fit_role(role: str, lesson: Lesson, epochs: int | None) -> Fitted:
        counts = num_events(lesson.items)
        form = models.module(name).fit(lesson.frame, counts, section)
        columns = [column for column in lesson.frame.columns if column not in ("cut", "run_date")]
        [data] = content_hash.content(lesson.frame, columns).collect()
        facts = {
            "settings": dict(section),
            "libraries": {library: version(library) for library in ("pyspark", "numpy")},
            "num_weights": len(form.matrix.weights),
            "data": {
                "rows": data["num_rows"],
                "sha256": data["content_hash"],
                "items_sha256": digest(counts),
            },
        }
        return Fitted(len(counts), partial(item_item.save, settings=dict(section), form=form), facts)

    return fit_role
