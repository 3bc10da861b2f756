"""Build what tonight's model learns from and tonight's lists are made of.

Reads   interactions, items, users, source_files   everything that arrived up to the run date
        user_index, item_index
Writes  feature_columns, item_features, segment_popularity, user_features
        blocked_items                               what users asked not to get
        truth                                       what the validation and test windows hold
        event_examples, user_examples               on nights with training
        seen_items, histories
        sequence_examples                           on nights with training; last, train reads it next
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from recsys_spark import cli, models, tables
from recsys_spark.config import Config
from recsys_spark.evaluation import splits
from recsys_spark.lake import Lake
from recsys_spark.session import spark_settings
from recsys_spark.sources.mapping import active_days, load_mapping
from recsys_spark.transforms import (
    arrivals,
    blocked,
    events,
    examples,
    features,
    histories,
    index,
    user_features,
)
from recsys_spark.transforms.timelines import pairs_with_items, timelines

_EVENTS_A_TASK = 100_000
_ARROW = {  # a batch of rows: how many of them, each an event or a piece of a timeline, and bytes in all
    "spark.sql.execution.arrow.maxRecordsPerBatch": 65_536,
    "spark.sql.execution.arrow.maxBytesPerBatch": 16 * 2**20,
}
_MOST_REPEATED = 1_000_000  # keys, 8 bytes each, that every executor can hold
_TASKS = "spark.sql.shuffle.partitions"
_WRITERS = "spark.sql.maxConcurrentOutputFileWriters"


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Build every table of features and examples for the run date."""
    num_tasks = _num_tasks(spark, lake)
    # A task then writes the cuts of its users side by side, and need not sort them by cut.
    with spark_settings(spark, {_TASKS: num_tasks, _WRITERS: len(tables.CUTS), **_ARROW}):
        _build(spark, lake, config, run_date, num_tasks)


def _build(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date, num_tasks: int) -> None:
    settings, split = config.features, _split(config, run_date)
    cuts = tables.CUTS if _is_training(config) else ("test", "night")
    ends = splits.cut_ends(split)
    built_ends = {cut: ends[cut] for cut in cuts}
    everything = partial(lake.read, spark, until=run_date)
    files = everything(tables.SOURCE_FILES)
    catalogue = arrivals.catalogue(everything(tables.ITEMS), files, run_date)
    listed = arrivals.only_current(everything(tables.USERS), files, run_date, tables.USERS.name)
    users, items = lake.read(spark, tables.USER_INDEX), lake.read(spark, tables.ITEM_INDEX)

    def keep(frame: DataFrame) -> DataFrame:
        # Not persist: that keeps the whole plan, which every later step would analyse again (4 x the seconds).
        return frame.localCheckpoint(eager=True)

    def write(table: tables.Table, rows: DataFrame) -> None:
        lake.write(spark, table, run_date, events.dated(rows, run_date))

    def write_examples(table: tables.Table, rows: DataFrame) -> None:
        rows = events.dated(rows, run_date)
        lake.write(spark, table, run_date, rows, row_group_rows=settings.row_group_rows)

    current = _current_events(everything(tables.INTERACTIONS), files, run_date, num_tasks, keep)
    types = config.rules.blocking_events
    asked = keep(blocked.blocking(current, users, items, run_date, types))
    learnt = blocked.without_blocking(current, types)
    profiles = user_features.user_profiles(users, listed)
    numbered = events.numbered(
        learnt,
        users,
        items,
        user_features.segments(profiles),
        run_date,
        settings.event_types,
        settings.tie_seed,
        num_tasks,
    )
    by_user = keep(timelines(numbered, split.seen_from, ends, settings.history_days, _active_days(config)))
    named = pairs_with_items(by_user).unionByName(asked.select("user_idx", "item_idx"))
    known_users = _known(users, "user", run_date, named, listed)
    known_items = _known(items, "item", run_date, named, catalogue)

    def build_features() -> DataFrame:
        spark.sparkContext.setLocalProperty("spark.scheduler.pool", "features")
        built = features.feature_tables(
            by_user,
            users=known_users,
            items=known_items,
            listed=listed,
            catalogue=catalogue,
            ends=built_ends,
            half_life_days=settings.half_life_days,
            num_categories=settings.num_categories,
            title_buckets=settings.title_buckets,
            keep=keep,
            gather=lambda frame: frame.toArrow(),
        )
        write(tables.FEATURE_COLUMNS, built.feature_columns)
        write(tables.ITEM_FEATURES, built.item_features)
        write(tables.SEGMENT_POPULARITY, built.segment_popularity)
        write(tables.USER_FEATURES, built.user_features)
        return built.popular

    def build_histories() -> None:
        write(tables.BLOCKED_ITEMS, blocked.blocked_items(asked, built_ends))
        write(tables.TRUTH, splits.truth(by_user, config.recommend.repeats == "allowed"))
        write(tables.SEEN_ITEMS, histories.seen_items(by_user, cuts))
        write(tables.HISTORIES, histories.histories(by_user, cuts, settings.history_length))

    to_learn = ("valid", "night")
    # Side by side: the features are many small steps, which leave cores idle.
    with ThreadPoolExecutor(1) as pool:
        popular = pool.submit(build_features)
        build_histories()
        if _is_training(config):
            power = settings.imbalance_power
            weights = None
            if power:
                of_items = examples.item_weights(popular.result(), power).toArrow()
                weights = examples.by_item(of_items, to_learn)
            write_examples(tables.EVENT_EXAMPLES, examples.event_examples(by_user, to_learn, weights))
            write_examples(
                tables.USER_EXAMPLES,
                examples.user_examples(by_user, to_learn, weights, settings.user_example_items),
            )
        popular.result()
    if _is_training(config):
        write_examples(
            tables.SEQUENCE_EXAMPLES, examples.sequence_examples(by_user, to_learn, settings.history_length)
        )


def _split(config: Config, run_date: dt.date) -> splits.Split:
    return splits.Split(run_date, config.split.kind, config.split.valid_days, config.split.test_days)


def _num_tasks(spark: SparkSession, lake: Lake) -> int:
    """As many as the session's setting allows, but few files of a useful size from few events."""
    most = int(str(spark.conf.get(_TASKS)))
    return max(1, min(most, lake.num_rows(tables.INTERACTIONS) // _EVENTS_A_TASK))


def _current_events(
    arrived: DataFrame,
    files: DataFrame,
    run_date: dt.date,
    num_tasks: int,
    keep: Callable[[DataFrame], DataFrame],
) -> DataFrame:
    """Few event keys come twice as a rule; to look for them first costs less than to sort all events by key."""
    name = tables.INTERACTIONS.name
    in_force = arrivals.only_in_force(arrived, files, run_date, name)
    repeated = keep(arrivals.repeated_keys(in_force, name, num_tasks))
    num_repeated = repeated.count()
    if num_repeated == 0:
        return in_force
    return arrivals.one_a_key(in_force, name, repeated if num_repeated <= _MOST_REPEATED else None)


def _is_training(config: Config) -> bool:
    return config.train.enabled and bool(models.trained(config.recommend.recommenders))


def _known(
    numbers: DataFrame, kind: str, run_date: dt.date, named: DataFrame, listing: DataFrame
) -> DataFrame:
    """The ids of the run date; on the newest night that is the whole index, which one look shows."""
    if index.numbered_after(numbers, run_date).isEmpty():
        return numbers
    return index.known_at(numbers, kind, run_date, named, listing)


def _active_days(config: Config) -> dict[str, int | None]:
    """Days by source; None: any event makes active. The key '' is for sources no longer in the settings."""
    default = config.recommend.active_days
    days = {
        name: active_days(load_mapping(source.mapping), default) for name, source in config.sources.items()
    }
    return {name: None if n == "all" else n for name, n in {**days, "": default}.items()}


if __name__ == "__main__":
    cli.main(run)
