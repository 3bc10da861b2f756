"""The recommenders of a night, trained one after the other, and the blend of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from recsys_spark import models
from recsys_spark.training import blending, by_arrays, by_spark, night, worker_process, workers
from recsys_spark.training.lessons import Common, Lesson
from recsys_spark.training.worker_process import Work

Sections = Mapping[str, Mapping[str, Any]]  # by recommender, its own settings


def chooses_on_valid(names: Iterable[str], sections: Sections) -> bool:
    """Whether anything is chosen on the validation users: epochs of a network, weights of a blend."""
    names = list(names)
    is_network = any(models.ALL[name].fitted_by == "network" for name in names)
    return is_network or (len(names) > 1 and sections[models.BLEND]["weights"] == blending.FITTED)


def train(
    of_names: Mapping[str, Mapping[str, Lesson]],
    sections: Sections,
    common: Common,
    spark: Any,
    num_workers: int,
) -> list[dict[str, Any]]:
    """Rows of MODELS, their run_date and split left out; the folders have been kept.

    Args:
        of_names: lessons by recommender and role.
        spark: for what Spark fits, and for several workers.
        num_workers: of each network's training.

    Raises:
        BadDataError: a table breaks its contract or cannot be read.
        SettingsError: Spark cannot run so many workers at once, or a model does not fit into memory.
        TrainingError: as `by_network.fitting` says.
    """
    rows = []
    for name, lessons in of_names.items():
        section = sections[name]
        match models.ALL[name].fitted_by:
            case "network":
                work = Work(name, section, lessons, common)
                rows += (
                    workers.train(spark, num_workers, work) if num_workers > 1 else worker_process.train(work)
                )
            case "spark":
                fit_role = by_spark.fitting(name, section)
                rows += night.train(name, lessons, fit_role, common.item_index, common.keep)
            case "arrays":
                fit_role = by_arrays.fitting(name, section, common.settings.num_threads)
                rows += night.train(name, lessons, fit_role, common.item_index, common.keep)
    if len(of_names) > 1:
        fit_role = blending.fitting(rows, sections[models.BLEND], common)
        lessons = next(iter(of_names.values()))
        rows += night.train(models.BLEND, lessons, fit_role, common.item_index, common.keep)
    return rows
