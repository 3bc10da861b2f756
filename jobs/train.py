"""Train the twin that the gate judges and the model that is published.

Starts Spark only for transitions, or when train.num_workers asks for more than one.

Reads   sequence_examples      the run date's windows: cut valid for the twin, cut night to publish
        item_features, feature_columns   of both cuts
        models                 with train.warm_start: the newest earlier twin and published model
        truth, histories, seen_items   cut valid: how many epochs are best; not for transitions
        item_index             whose hash ties the model to its item numbers
Writes  models                 a row for the twin and one for the published model, in one commit

Writes nothing, and says why in the log, when training is off, when popularity is the recommender, or
when too few users have anything to learn from or to be judged on.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from recsys_spark import cli, tables
from recsys_spark.config import Config
from recsys_spark.evaluation import splits
from recsys_spark.lake import Lake
from recsys_spark.models import item_tower
from recsys_spark.training import data, transitions, workers
from recsys_spark.training.worker import Plan

log = logging.getLogger(__name__)


def run(spark: Any, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Train both models of the night, or say why not; `spark` is used by transitions and by several workers."""
    if not config.train.enabled or config.recommend.recommender == "popularity":
        log.info("not_trained run_date=%s reason=%s", run_date, "train.enabled or recommend.recommender")
        return
    how = config.split
    ends = splits.cut_ends(splits.Split(run_date, how.kind, how.valid_days, how.test_days))
    twin, published = (
        data.Data(
            lake.files(tables.SEQUENCE_EXAMPLES, run_date, cut),
            lake.read_rows(tables.ITEM_FEATURES, run_date, cut=cut),
            item_tower.columns_of(lake.read_rows(tables.FEATURE_COLUMNS, run_date, cut=cut).to_pylist()),
            ends[cut],
        )
        for cut in ("valid", "night")
    )
    is_counting = config.recommend.recommender == "transitions"
    valid = None if is_counting else _valid(lake, run_date)
    if lacking := data.what_lacks(twin, published, valid, config.train.min_train_users):
        log.info("not_trained run_date=%s reason=%s", run_date, lacking)
        return
    if valid is None:
        rows = _count(spark, lake, config, run_date, twin, published)
    else:
        rows = _learn(spark, lake, config, run_date, twin, published, valid)
    lake.write_rows(tables.MODELS, run_date, [{**row, "run_date": run_date} for row in rows])


def _count(
    spark: Any, lake: Lake, config: Config, run_date: dt.date, twin: data.Data, published: data.Data
) -> list[dict[str, Any]]:
    windows = partial(lake.read, spark, tables.SEQUENCE_EXAMPLES, run_date)
    sources = {
        "twin": transitions.Source(windows(cut="valid"), twin.items, twin.data_end),
        "published": transitions.Source(windows(cut="night"), published.items, published.data_end),
    }
    settings = transitions.Settings(**config.transitions.model_dump())
    return transitions.train(sources, lake.read_rows(tables.ITEM_INDEX), settings, lake.put_model)


def _learn(
    spark: Any, lake: Lake, config: Config, run_date: dt.date,
    twin: data.Data, published: data.Data, valid: data.ValidationData,
) -> list[dict[str, Any]]:  # fmt: skip
    settings = data.Settings(
        history_length=config.features.history_length,
        num_types=len(config.features.event_types),
        repeats_allowed=config.recommend.repeats == "allowed",
        min_valid_users=config.split.min_users,
        **config.train.model_dump(include=set(data.Settings._fields)),
    )
    earlier = None
    if config.train.warm_start:
        earlier = data.Earlier(lake.read_rows(tables.MODELS, until=run_date), run_date, lake.get_model)
    index, place = lake.read_rows(tables.ITEM_INDEX), _place(config, run_date)
    plan = Plan(twin, published, valid, index, settings, earlier, place, lake.put_model)
    if config.train.num_workers > 1:
        return workers.train(spark, config.train.num_workers, plan)
    from recsys_spark.training import twins  # starts TensorFlow

    return twins.train(*plan)


def _valid(lake: Lake, run_date: dt.date) -> data.ValidationData:
    return data.ValidationData(
        lake.read_rows(tables.TRUTH, run_date, cut="valid"),
        lake.files(tables.HISTORIES, run_date, "valid"),
        lake.files(tables.SEEN_ITEMS, run_date, "valid"),
    )


def _place(config: Config, run_date: dt.date) -> data.Place:
    """A folder for this lake and date, the same one when the night is tried again."""
    lake = hashlib.sha256(config.lake.root.encode()).hexdigest()[:12]
    work = Path(config.train.work_dir or tempfile.gettempdir()) / "recsys-spark" / lake / str(run_date)
    log_dir = config.train.log_dir
    return data.Place(work, Path(log_dir) / str(run_date) if log_dir else None)


if __name__ == "__main__":
    cli.main(run)
