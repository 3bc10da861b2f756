"""What a night asks of the scoring workers, counted before they start."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark import models
from recsys_spark.forms.form import Size
from recsys_spark.scoring import loaded_models
from recsys_spark.scoring.bases import Basis
from recsys_spark.scoring.lists import judged_by
from recsys_spark.scoring.plan import PLACE_BYTES, REASON_BYTES, Work, num_places
from recsys_spark.scoring.rules import ListSettings
from recsys_spark.scoring.user_rows import BAG_COLUMNS, LEFT_OUT


def work(
    users: DataFrame, judged: DataFrame, past: Basis, now: Basis, settings: ListSettings, history_length: int
) -> Work:
    """Count the work; runs a Spark job over the users, and fetches the models to this machine.

    Args:
        users, judged: as `user_rows.with_history` gives them.
        past, now: of the cuts test and night.
        history_length: L.
    """
    counted, items = _counted(users, judged), now.items
    stored = {basis.model.version: basis.model for basis in (past, now) if basis.model}
    known = len(items.item_ids)
    has_reasons = settings.explain or any(
        models.ALL[model.name].has_exact_reasons for model in stored.values()
    )
    counts = Work(
        counted["num_users"],
        max([known, *(model.num_items for model in stored.values())]),
        history_length,
        counted["num_left_out"],
        counted["max_left_out"],
        settings.num_items,
        settings.pool_items(items.caps is not None),
        settings.num_similar,
        settings.batch_users,
        place_bytes=PLACE_BYTES + (REASON_BYTES * settings.num_reasons if has_reasons else 0),
        num_reasons=settings.num_reasons,
        num_counts=len(items.popularity.item_idx),
        id_bytes=items.item_ids.nbytes // max(1, known),
        num_judged=len(judged_by(past, settings)),
        judged_users=counted["judged_users"],
        judged_left_out=counted["judged_left_out"],
        num_grouped=len(items.caps.groups) if items.caps else 0,
        num_categories=items.categories.num if settings.rerank.by == "calibration" else 0,
    )
    size = Size(
        counts.batch_users,
        counts.pool_items,
        num_places(counts),
        counts.history_length,
        num_cold=sum(len(basis.cold.item_idx) for basis in (past, now) if basis.cold),
        is_explained=settings.explain,
    )
    return counts._replace(models=tuple(loaded_models.needs(model, size) for model in stored.values()))


def _counted(users: DataFrame, judged: DataFrame) -> dict[str, int]:
    """Users, tonight's and judged ones, and the items left out: of all of either and of the heaviest."""
    names = [name for name in (*LEFT_OUT, *BAG_COLUMNS) if name in users.columns]
    each = sum((F.coalesce(F.size(name), F.lit(0)) for name in names), F.lit(0)).cast("long")
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
