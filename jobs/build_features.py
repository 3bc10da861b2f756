"""Build what tonight's models learn from and tonight's lists are made of.

Reads   interactions, items, users, source_files   everything that arrived up to the run date
        user_index, item_index
Writes  feature_columns, item_features, segment_popularity, user_features
        blocked_items, truth       what users asked not to get; what the validation and test windows hold
        seen_items, histories, and those of bags, event_examples, user_examples, sequence_examples that a
                                   recommender of tonight reads or learns from; last, train reads them next
"""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller

from pyspark.sql import SparkSession

from recsys_spark import cli, models, tables
from recsys_spark.config import Config
from recsys_spark.evaluation import splits
from recsys_spark.lake import Lake
from recsys_spark.session import spark_settings
from recsys_spark.sources.mapping import active_days, load_mapping
from recsys_spark.transforms import arrivals, blocked, events, examples, features, index, user_tables
from recsys_spark.transforms.actions import Actions
from recsys_spark.transforms.item_popularity import item_popularity
from recsys_spark.transforms.timelines import ARROW_BATCHES, items_of_users, timelines
from recsys_spark.transforms.user_features import segments, user_profiles
from recsys_spark.transforms.whole_users import in_one_pass

_EXAMPLES = {"event_examples", "user_examples", "sequence_examples"}
_EVENTS_A_TASK = 100_000
_TASKS, _ADAPTIVE = "spark.sql.shuffle.partitions", "spark.sql.adaptive.enabled"
_WRITERS = "spark.sql.maxConcurrentOutputFileWriters"  # cuts that a task writes at a time, not sorted by cut


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Build every table of features and examples that the run date needs."""
    settings, types, names = config.features, config.rules.blocking_events, config.recommend.recommenders
    is_training = config.train.enabled and bool(models.trained(names))
    tonight = {"seen_items", "histories", *models.tables_of_users(names, is_training)}
    split = splits.Split(run_date, config.split.kind, config.split.valid_days, config.split.test_days)
    cuts = tables.CUTS if is_training else ("test", "night")
    ends = splits.cut_ends(split)
    built_ends = {cut: ends[cut] for cut in cuts}
    days = {"": config.recommend.active_days}  # '': of sources no longer in the settings
    days |= {name: active_days(load_mapping(of.mapping), days[""]) for name, of in config.sources.items()}
    most_tasks = int(str(spark.conf.get(_TASKS)))
    num_tasks = max(1, min(lake.num_rows(tables.INTERACTIONS) // _EVENTS_A_TASK, most_tasks))
    # Not persist: that keeps the whole plan, which every later step would analyse again (4 x the seconds).
    keep, _ = actions = Actions(methodcaller("localCheckpoint"), methodcaller("toArrow"))
    # A plan that adapts is a Spark job for each of its shuffles: too many for a few events.
    tasks = {_TASKS: num_tasks, _ADAPTIVE: num_tasks > 1, _WRITERS: len(tables.CUTS)}
    with spark_settings(spark, {**ARROW_BATCHES, **tasks}):
        files = lake.read(spark, tables.SOURCE_FILES, until=run_date)
        catalogue = arrivals.catalogue(lake.read(spark, tables.ITEMS, until=run_date), files, run_date)
        listings = lake.read(spark, tables.USERS, until=run_date)
        listed = arrivals.only_current(listings, files, run_date, "users")
        users, items = lake.read(spark, tables.USER_INDEX), lake.read(spark, tables.ITEM_INDEX)
        arrived = lake.read(spark, tables.INTERACTIONS, until=run_date)
        current = arrivals.current_events(arrived, files, run_date, num_tasks, actions)
        asked = keep(blocked.blocking(current, users, items, run_date, types))
        segmented = segments(user_profiles(users, listed))
        numbers = events.Numbers(users, items, segmented, settings.event_types, settings.tie_seed)
        learnt = blocked.without_blocking(current, types)
        numbered = events.numbered(learnt, numbers, run_date, num_tasks)
        by_user = keep(timelines(numbered, split.seen_from, ends, settings.history_days, days))
        named = items_of_users(by_user).unionByName(asked.select("user_idx", "item_idx"))
        described = features.Described(
            user_profiles(index.known_tonight(users, "user", run_date, named, listed, actions), listed),
            index.known_tonight(items, "item", run_date, named, catalogue, actions),
            catalogue,
        )
        popular = keep(item_popularity(by_user, built_ends, settings.half_life_days))
        power = settings.imbalance_power if tonight & {"event_examples", "user_examples"} else 0
        weights = examples.weights_by_item(popular, power, user_tables.TO_LEARN, actions)
        sizes = user_tables.Sizes(settings.history_length, settings.user_example_items)
        truth = splits.truth(by_user, config.recommend.repeats == "allowed")
        readings = [truth, *user_tables.user_tables(by_user, tonight, cuts, sizes, weights)]
        row_groups = dict.fromkeys(_EXAMPLES, settings.row_group_rows)
        # Side by side: the features are many small steps, which leave cores idle.
        pool = ("spark.scheduler.pool", "user tables")
        with ThreadPoolExecutor(1, "", spark.sparkContext.setLocalProperty, pool) as beside:
            staging = beside.submit(lake.stage, run_date, in_one_pass(by_user, readings), row_groups)
            sized = features.Sizes(settings.num_categories, settings.title_buckets)
            built = features.feature_tables(by_user, popular, described, built_ends, sized, actions)
            for table, rows in built.by_table():
                lake.write(spark, table, run_date, events.dated(rows, run_date))
            if types:
                asked_by_cut = events.dated(blocked.blocked_items(asked, built_ends), run_date)
                lake.write(spark, tables.BLOCKED_ITEMS, run_date, asked_by_cut)
            else:
                lake.write_rows(tables.BLOCKED_ITEMS, run_date, [])
        for staged in staging.result():
            lake.commit(staged)


if __name__ == "__main__":
    cli.main(run)
