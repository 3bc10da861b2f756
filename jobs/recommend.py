"""Make the lists: for the gate those of the twin and of popularity, for readers tonight's own.

Reads   user_features, item_features, segment_popularity, histories, seen_items, blocked_items, bags  cuts test, night
        truth            cut test: only these users are judged
        recommendations  of the last nights: what was shown too often stays out
        item_index, feature_columns   a model that learnt other numbers is refused; which items it can rank by features
        models           the newest twin and the newest published model, young enough
        lists            of the newest night before, those that still hold are kept (recommend.only_changed)
Writes  segment_lists    what a visitor without an id gets, a list a segment
        item_lists       similar items by the published model; none on nights of popularity
        lists            cut test: one a recommender and judged user; cut night: one an active user
"""

from __future__ import annotations

import datetime as dt
from functools import partial

from pyspark.sql import SparkSession

from recsys_spark import cli, models, tables
from recsys_spark.config import Config
from recsys_spark.evaluation import splits
from recsys_spark.lake import Lake
from recsys_spark.scoring import (
    bases,
    catalogue,
    fingerprint,
    index_hash,
    lists,
    partitions,
    plan,
    python_memory,
    similar_items,
    stored_models,
    unchanged,
    user_rows,
    workload,
)
from recsys_spark.scoring.rules import ListSettings, Rerank, Rules


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Write every list of the run date, or nothing if the workers have too little memory for it."""
    how, rules = config.recommend, Rules(**config.rules.model_dump(include=set(Rules._fields)))
    settings = ListSettings.of(how.model_dump(), Rerank(**config.rerank.model_dump()), rules.num_new_items)
    split = splits.Split(run_date, config.split.kind, config.split.valid_days, config.split.test_days)
    ends, yesterday = splits.cut_ends(split), run_date - dt.timedelta(days=1)
    stored = lake.read_rows(tables.MODELS, until=run_date)
    item_ids = index_hash.ids_of(lake.read_rows(tables.ITEM_INDEX))
    users, items, about, of_cut = {}, {}, {}, {}
    for cut, role, judged_on in (("test", "twin", split.kind), ("night", "published", None)):
        read = partial(lake.read, spark, run_date=run_date, cut=cut)
        rows = partial(lake.read_rows, run_date=run_date, cut=cut)
        users[cut], items[cut] = read(tables.USER_FEATURES), read(tables.ITEM_FEATURES)
        about[cut] = user_rows.About(
            read(tables.HISTORIES),
            seen=None if how.repeats == "allowed" else read(tables.SEEN_ITEMS),
            blocked=read(tables.BLOCKED_ITEMS),
            bags=read(tables.BAGS) if models.reads_bags(how.recommenders) else None,
        )
        wanted = stored_models.Wanted(role, run_date, how.max_model_age_days, ends[cut], judged_on)
        model = stored_models.newest(stored, how.recommenders, wanted, item_ids, lake.get_model)
        facts = rows(tables.ITEM_FEATURES, columns=catalogue.COLUMNS)
        popular = rows(tables.SEGMENT_POPULARITY)
        of_cut[cut] = bases.Basis(catalogue.catalogue(facts, popular, rules, run_date.toordinal()), model)
        if how.cold_items == "by_features":
            index, end = lake.read(spark, tables.ITEM_INDEX), ends[cut] if judged_on else None
            of_cut[cut] = bases.with_cold(of_cut[cut], items[cut], rows(tables.FEATURE_COLUMNS), index, end)
    if nights := config.rules.max_nights and config.rules.of_nights:
        live = lake.read(
            spark, tables.RECOMMENDATIONS, since=run_date - dt.timedelta(nights), until=yesterday
        )
        shown = user_rows.shown_often(live, users["night"], items["night"], config.rules.max_nights)
        about["night"] = about["night"]._replace(shown=shown)
    past, now = of_cut["test"], of_cut["night"]
    judged = user_rows.judged(
        users["test"], lake.read(spark, tables.TRUTH, run_date, cut="test"), about["test"]
    )
    active = user_rows.active(users["night"], how.control_share, about["night"])
    earlier = None
    if how.only_changed and now.model:
        active = fingerprint.with_fingerprint(active, now, settings)
        if nights_before := lake.dates(tables.LISTS, until=yesterday):
            earlier = lake.read(spark, tables.LISTS, nights_before[-1], cut="night")
    with unchanged.parted(active, earlier, how.checked_share, run_date) as parted:
        work = workload.work(parted.to_rank, judged, past, now, settings, config.features.history_length)
        planned = plan.planned(work, python_memory.of_session(spark, how.python_memory), how.file_mib << 20)
        with partitions.arrow_batches(spark, planned.arrow_rows, planned.arrow_bytes):
            unchanged.refuse_different(parted, now, settings, run_date)
            similar = similar_items.similar_items(items["night"], now, settings, run_date)
            lake.write_rows(tables.SEGMENT_LISTS, run_date, catalogue.segment_lists(now.items, how.num_items))
            lake.write(spark, tables.ITEM_LISTS, run_date, similar)
            parts = unchanged.night_lists(parted, now, settings, run_date, planned.num_partitions)
            parts += lists.judged_lists(judged, past, settings, run_date, planned.judged_partitions)
            lake.write_from_python(tables.LISTS, run_date, parts)


if __name__ == "__main__":
    cli.main(run)
