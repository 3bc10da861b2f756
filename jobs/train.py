"""Train the twin that the gate judges and the model that is published, of every recommender of tonight.

Starts Spark only for what Spark fits, or when train.num_workers asks for more than one.

Reads   sequence_examples, bags   what the recommenders learn from: cut valid for the twin, cut night to publish
        item_features, feature_columns   of both cuts
        models                 with train.warm_start: the newest earlier twin and published model
        truth, histories, seen_items   cut valid: how many epochs are best, what a blend's members weigh
        item_index             whose hash ties a model to its item numbers
Writes  models                 a row for the twin and one for the published model of each recommender, in one commit

Writes nothing, and says why in the log, when training is off, when nothing is to be learnt, or when too few
users have anything to learn from or to be judged on.
"""

from __future__ import annotations

import datetime as dt
import logging
from functools import partial
from pathlib import Path
from typing import Any

from recsys_spark import cli, models, tables
from recsys_spark.config import Config
from recsys_spark.evaluation import splits
from recsys_spark.forms import item_tower
from recsys_spark.lake import Lake
from recsys_spark.scoring import index_hash
from recsys_spark.training import lessons, recommenders
from recsys_spark.training.lessons import Common, Earlier, Lesson, ValidationFiles

log = logging.getLogger(__name__)


def run(spark: Any, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Train all models of the night, or say why not; `spark` is used by what Spark fits and by several workers."""
    train, names = config.train, models.trained(config.recommend.recommenders)
    if not train.enabled or not names:
        log.info("not_trained run_date=%s reason=%s", run_date, "train.enabled or recommend.recommenders")
        return
    sections = {name: config.section_of(name) for name in (*names, models.BLEND)}
    split = splits.Split(run_date, config.split.kind, config.split.valid_days, config.split.test_days)
    settings = lessons.Settings(
        history_length=config.features.history_length,
        num_types=len(config.features.event_types),
        repeats_allowed=config.recommend.repeats == "allowed",
        min_valid_users=config.split.min_users,
        work_dir=lessons.work_dir(train.work_dir, config.lake.root, run_date),
        log_dir=Path(train.log_dir) / str(run_date) if train.log_dir else None,
        **train.model_dump(
            include={"max_valid_users", "window_row_groups", "seed", "num_threads", "checkpoint_steps"}
        ),
    )
    ends, item_index = splits.cut_ends(split), lake.read_rows(tables.ITEM_INDEX)
    of_names: dict[str, dict[str, Lesson]] = {name: {} for name in names}
    for role, cut in lessons.ROLES.items():
        rows = partial(lake.read_rows, run_date=run_date, cut=cut)
        items, columns = (
            rows(tables.ITEM_FEATURES),
            item_tower.columns_of(rows(tables.FEATURE_COLUMNS).to_pylist()),
        )
        for name in names:
            facts, table = models.ALL[name], tables.named(models.ALL[name].learns_from)
            files = lake.files(table, run_date, cut) if table else []
            frame = (
                lake.read(spark, table, run_date, cut=cut) if table and facts.fitted_by == "spark" else None
            )
            of_names[name][role] = Lesson(files, frame, items, columns, ends[cut])
    valid = earlier = None
    if recommenders.chooses_on_valid(names, sections):
        valid = ValidationFiles(
            lake.read_rows(tables.TRUTH, run_date, cut="valid"),
            lake.files(tables.HISTORIES, run_date, "valid"),
            lake.files(tables.SEEN_ITEMS, run_date, "valid"),
            lake.files(tables.BAGS, run_date, "valid") if models.reads_bags(names) else (),
        )
    if lacking := lessons.what_lacks(of_names, valid, train.min_train_users):
        log.info("not_trained run_date=%s reason=%s", run_date, lacking)
        return
    if train.warm_start:
        stored = lake.read_rows(tables.MODELS, until=run_date)
        earlier = Earlier(stored, run_date, index_hash.ids_of(item_index), lake.get_model)
    common = Common(settings, valid, earlier, item_index, lake.put_model, lake.get_model)
    trained = recommenders.train(of_names, sections, common, spark, train.num_workers)
    written = [{**row, "run_date": run_date, "split": split.kind} for row in trained]
    lake.write_rows(tables.MODELS, run_date, written)


if __name__ == "__main__":
    cli.main(run)
