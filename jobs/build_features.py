"""Build what tonight's model learns from and tonight's lists are made of.

Reads   interactions, items, users, source_files   everything that arrived up to the run date
        user_index, item_index
        histories, seen_items                       of the night before, where they still hold
Writes  feature_columns, item_features, segment_popularity, user_features
        blocked_items                               what users asked not to get
        truth                                       what the validation and test windows hold
        event_examples, user_examples               on nights with training
        seen_items, histories
        sequence_examples                           on nights with training; last, train reads it next
"""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from recsys_spark import cli, tables
from recsys_spark.config import Config
from recsys_spark.evaluation import splits
from recsys_spark.lake import Lake
from recsys_spark.sources.mapping import active_days, load_mapping
from recsys_spark.transforms import arrivals, blocked, events, examples, features, histories, index

_EVENTS_A_TASK = 100_000
_ADAPTIVE, _TASKS = "spark.sql.adaptive.enabled", "spark.sql.shuffle.partitions"
_ALL_KEYS = "spark.sql.requireAllClusterKeysForCoPartition"


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Build every table of features and examples for the run date."""
    # Rows parted by user stay where they are also when they are joined by cut and user, as long as the other
    # side would not be parted into more.
    num_tasks = _num_tasks(spark, lake)
    with cli.spark_settings(spark, {_TASKS: num_tasks, _ALL_KEYS: "false"}):
        _build(spark, lake, config, run_date, num_tasks)


def _build(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date, num_tasks: int) -> None:
    settings, split = config.features, _split(config, run_date)
    cuts = tables.CUTS if _is_training(config) else ("test", "night")
    ends = splits.cut_ends(*split)
    built_ends = {cut: ends[cut] for cut in cuts}
    everything = partial(lake.read, spark, until=run_date)
    files, arrived = everything(tables.SOURCE_FILES), everything(tables.INTERACTIONS)
    listed = arrivals.only_current(everything(tables.USERS), files, run_date, tables.USERS.name)
    catalogue = arrivals.catalogue(everything(tables.ITEMS), files, run_date)
    current = arrivals.only_current(arrived, files, run_date, tables.INTERACTIONS.name)
    users, items = lake.read(spark, tables.USER_INDEX), lake.read(spark, tables.ITEM_INDEX)

    def keep(frame: DataFrame) -> DataFrame:
        # Not persist: that keeps the whole plan, which every later step would analyse again (4 x the seconds).
        return frame.localCheckpoint(eager=True)

    def write(table: tables.Table, rows: DataFrame, basis: str | None = None) -> None:
        lake.write(spark, table, run_date, events.dated(rows, run_date), basis=basis)

    def write_examples(table: tables.Table, rows: DataFrame) -> None:
        rows = events.dated(examples.in_hashed_order(rows), run_date)
        lake.write(spark, table, run_date, rows, row_group_rows=settings.row_group_rows)

    types = config.rules.blocking_events
    asked = keep(blocked.blocking(current, users, items, run_date, types))
    learnt = blocked.without_blocking(current, types)
    numbered = events.numbered(
        learnt, users, items, run_date, settings.event_types, settings.tie_seed, num_tasks
    )
    seen_by = {cut: splits.SEEN_BY[cut] for cut in cuts}
    whole = _kept_by_user(spark, events.with_places(splits.mark_splits(numbered, *split), seen_by))
    recent = events.only_recent(whole, built_ends, settings.history_days)
    named = whole.select("user_idx", "item_idx").unionByName(asked.select("user_idx", "item_idx"))
    known_users = _known(users, "user", run_date, named, listed)
    known_items = _known(items, "item", run_date, named, catalogue)

    def build_features() -> DataFrame:
        spark.sparkContext.setLocalProperty("spark.scheduler.pool", "features")
        built = features.feature_tables(
            whole,
            recent,
            users=known_users,
            items=known_items,
            listed=listed,
            catalogue=catalogue,
            ends=built_ends,
            half_life_days=settings.half_life_days,
            num_categories=settings.num_categories,
            title_buckets=settings.title_buckets,
            active_days=_active_days(config),
            num_partitions=num_tasks,
            keep=keep,
        )
        write(tables.FEATURE_COLUMNS, built.feature_columns)
        write(tables.ITEM_FEATURES, built.item_features)
        write(tables.SEGMENT_POPULARITY, built.segment_popularity)
        write(tables.USER_FEATURES, built.user_features)
        return built.popular

    def build_histories() -> None:
        write(tables.BLOCKED_ITEMS, blocked.blocked_items(asked, built_ends))
        write(tables.TRUTH, splits.truth(whole, config.recommend.repeats == "allowed"))
        by_cut, recent_by_cut = events.by_cut(whole, cuts), events.by_cut(recent, cuts)
        make = partial(histories.histories, length=settings.history_length)
        basis, before = _basis(config), _night_before(lake, config, run_date)
        if before is None:
            seen, last = histories.seen_items(by_cut), make(recent_by_cut)
        else:
            touched = index.idx_of(histories.touched_users(arrived, files, before), users, "user")
            was_seen, was_last = (lake.read(spark, t, before) for t in (tables.SEEN_ITEMS, tables.HISTORIES))
            seen = histories.continued(histories.seen_items, by_cut, was_seen, touched)
            oldest_at = _oldest_at(ends, settings.history_days)
            last = histories.continued(make, recent_by_cut, was_last, touched, oldest_at)
        write(tables.SEEN_ITEMS, seen, basis)
        write(tables.HISTORIES, last, basis)

    # Side by side: the features are many small steps, which leave cores idle.
    with ThreadPoolExecutor(1) as pool:
        popular = pool.submit(build_features)
        build_histories()
        if _is_training(config):
            to_learn = events.by_cut(recent, ("valid", "night"))
            power = settings.imbalance_power
            weights = examples.item_weights(popular.result(), power) if power else None
            write_examples(tables.EVENT_EXAMPLES, examples.event_examples(to_learn, weights))
            write_examples(
                tables.USER_EXAMPLES, examples.user_examples(to_learn, weights, settings.user_example_items)
            )
        popular.result()
    if _is_training(config):
        write_examples(
            tables.SEQUENCE_EXAMPLES, examples.sequence_examples(to_learn, settings.history_length)
        )


def _split(config: Config, run_date: dt.date) -> tuple[dt.date, str, int, int]:
    return run_date, config.split.kind, config.split.valid_days, config.split.test_days


def _num_tasks(spark: SparkSession, lake: Lake) -> int:
    """As many as the session's setting allows, but few files of a useful size from few events."""
    most = int(str(spark.conf.get(_TASKS)))
    return max(1, min(most, lake.num_rows(tables.INTERACTIONS) // _EVENTS_A_TASK))


def _kept_by_user(spark: SparkSession, frame: DataFrame) -> DataFrame:
    """Adaptive execution would hide from every later step that the rows are already parted and sorted by user."""
    with cli.spark_settings(spark, {_ADAPTIVE: "false"}):
        return frame.localCheckpoint(eager=True)


def _is_training(config: Config) -> bool:
    return config.train.enabled and config.recommend.recommender != "popularity"


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


def _basis(config: Config) -> str:
    """The settings that a history depends on: with others the night before cannot be continued."""
    settings = config.features
    return (
        f"history_length={settings.history_length} history_days={settings.history_days} "
        f"tie_seed={settings.tie_seed} event_types={','.join(settings.event_types)}"
    )


def _night_before(lake: Lake, config: Config, run_date: dt.date) -> dt.date | None:
    """The newest earlier date whose histories and seen items still follow from what arrived by then."""
    inputs = [tables.INTERACTIONS, tables.SOURCE_FILES]
    for date in lake.dates(tables.HISTORIES, until=run_date - dt.timedelta(days=1))[-1:]:
        both = (tables.SEEN_ITEMS, tables.HISTORIES)
        if all(lake.can_continue(table, date, inputs, _basis(config)) for table in both):
            return date
    return None


def _oldest_at(ends: dict[str, dt.datetime], history_days: int) -> dt.datetime:
    return ends["night"] - dt.timedelta(days=history_days)


if __name__ == "__main__":
    cli.main(run)
