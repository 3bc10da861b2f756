"""What a night asks of the scoring workers, counted before they start."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark.models import artifacts, transitions
from recsys_spark.scoring.catalogue import Catalogue
from recsys_spark.scoring.known_models import KnownModel
from recsys_spark.scoring.plan import PLACE_BYTES, REASON_BYTES, Work
from recsys_spark.scoring.ranker import LEFT_OUT
from recsys_spark.scoring.rules import ListSettings


def work(
    users: DataFrame,
    judged: DataFrame,
    items: Catalogue,
    models: Iterable[KnownModel],
    settings: ListSettings,
    num_similar: int,
    history_length: int,
    num_judged: int,
    num_cold: int = 0,
) -> Work:
    """Count the work; runs a Spark job over the users, and fetches the models to this machine.

    Args:
        users, judged: as `lists.with_history` gives them.
        models: all that the job loads.
        num_judged: recommenders whose lists for the gate the same job makes.
        num_cold: items of all cuts that are ranked by their features.
    """
    counted = _counted(users, judged)
    chosen = {model.version: model for model in models}
    folders = [model.fetch(model.version) for model in chosen.values()]
    is_counted = any(model.name == transitions.NAME for model in chosen.values())
    known = len(items.item_ids)
    return Work(
        counted["num_users"],
        max([known, *(model.num_items for model in chosen.values())]),
        max((_dim(folder) for folder in folders), default=0),
        history_length,
        counted["num_left_out"],
        counted["max_left_out"],
        settings.num_items,
        settings.pool_items(items.limits is not None),
        num_similar,
        settings.batch_users,
        place_bytes=PLACE_BYTES
        + (REASON_BYTES * settings.num_reasons if settings.explain or is_counted else 0),
        num_reasons=settings.num_reasons,
        num_counts=len(items.popularity.item_idx),
        id_bytes=items.item_ids.nbytes // max(1, known),
        has_network=any((folder / artifacts.WEIGHTS).is_file() for folder in folders),
        matrix_bytes=max(
            (_size(folder, transitions.NEIGHBOURS, transitions.WEIGHTS) for folder in folders), default=0
        ),
        num_models=len(folders),
        num_judged=num_judged,
        is_explained=settings.explain and not is_counted,
        num_cold=num_cold,
        judged_users=counted["judged_users"],
        judged_left_out=counted["judged_left_out"],
        num_grouped=len(items.limits.groups) if items.limits else 0,
        num_categories=items.categories.num if settings.rerank.by == "calibration" else 0,
    )


def _counted(users: DataFrame, judged: DataFrame) -> dict[str, int]:
    """Users, tonight's and judged ones, and the items left out: of all of either and of the heaviest."""
    each = sum((F.coalesce(F.size(name), F.lit(0)) for name in LEFT_OUT), F.lit(0)).cast("long")
    both = [
        frame.select(each.alias("num"), F.lit(frame is judged).alias("is_judged"))
        for frame in (users, judged)
    ]
    num_judged, num_tonight = (
        F.when(F.col("is_judged"), F.col("num")),
        F.when(~F.col("is_judged"), F.col("num")),
    )
    [row] = both[0].unionAll(both[1]).agg(
        F.count(num_tonight).alias("num_users"),
        F.sum(num_tonight).alias("num_left_out"),
        F.max("num").alias("max_left_out"),
        F.count(num_judged).alias("judged_users"),
        F.sum(num_judged).alias("judged_left_out"),
    ).collect()  # fmt: skip
    return {name: int(number or 0) for name, number in row.asDict().items()}


def _dim(folder: Path) -> int:
    is_there = (folder / artifacts.ITEM_VECTORS).is_file()
    return int(artifacts.load_item_vectors(folder).shape[1]) if is_there else 0


def _size(folder: Path, *names: str) -> int:
    """Bytes of the files that are there: which ones must be, the worker that loads them says."""
    return sum(path.stat().st_size for name in names if (path := folder / name).is_file())
