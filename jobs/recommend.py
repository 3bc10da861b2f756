"""Make the lists: for the gate those of the twin and of popularity, for readers tonight's own.

Reads   user_features, histories, seen_items, blocked_items, item_features, segment_popularity  cuts test, night
        truth            cut test: only these users are judged
        recommendations  of the last nights: what was shown too often stays out
        item_index       a model that learnt other numbers is refused; which items were known at cut test
        feature_columns  what tonight's features are, for the item tower of a model
        models           the newest twin and the newest published model, young enough
Writes  segment_lists    what a visitor without an id gets, a list a segment
        item_lists       similar items by the published model; none on nights of popularity
        lists            cut test: one a recommender and judged user; cut night: one an active user
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from recsys_spark import cli, tables
from recsys_spark.config import Config
from recsys_spark.evaluation import splits
from recsys_spark.lake import Lake
from recsys_spark.ranking.warm_and_cold import ColdItems
from recsys_spark.scoring import (
    catalogue,
    cold_items,
    known_models,
    lists,
    partitions,
    plan,
    python_memory,
    similar_items,
    workload,
)
from recsys_spark.scoring.catalogue import POPULARITY, Catalogue
from recsys_spark.scoring.known_models import KnownModel, LoadedModel
from recsys_spark.scoring.rules import ListSettings, Rerank, Rules
from recsys_spark.transforms import index


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Write every list of the run date, or nothing if the workers have too little memory for it."""
    chosen, settings = config.recommend, _settings(config)
    twin = _model(spark, lake, config, run_date, "twin", "test")
    past = _items(lake, config, run_date, "test")
    past_cold = _cold(spark, lake, config, run_date, past, twin, "test")
    judged = _judged(spark, lake, config, run_date, past, twin, past_cold)

    items = _items(lake, config, run_date, "night")
    active = lists.only_active(lake.read(spark, tables.USER_FEATURES, run_date, cut="night"))
    active = lists.with_control(active, chosen.control_share)
    active = _with_history(spark, lake, config, run_date, active, "night")
    model = _model(spark, lake, config, run_date, "published", "night")
    cold = _cold(spark, lake, config, run_date, items, model, "night")
    num_cold = sum(len(found.item_idx) for found in (past_cold, cold) if found)
    planned = _planned(spark, config, active, items, [m for m in (twin, model) if m], num_cold)
    active = partitions.in_partitions(active, planned.num_partitions)
    read = known_models.history_columns(model, settings.rerank.by)
    tonight = lists.lists(active, items, _load(config, model), settings, "night", run_date, read, cold)

    lake.write_rows(tables.SEGMENT_LISTS, run_date, catalogue.segment_lists(items, chosen.num_items))
    known = lake.read(spark, tables.ITEM_FEATURES, run_date, cut="night")
    size = (chosen.num_similar, chosen.batch_users, chosen.num_threads)
    similar = similar_items.similar_items(known, items, model, *size, run_date)
    lake.write(spark, tables.ITEM_LISTS, run_date, similar)
    with partitions.arrow_batches(spark, planned.arrow_rows, planned.arrow_bytes):
        lake.write(spark, tables.LISTS, run_date, partitions.in_file_order(judged.unionByName(tonight)))


def _planned(
    spark: SparkSession, config: Config, active: DataFrame, items: Catalogue, models: list[KnownModel],
    num_cold: int,
) -> plan.Plan:  # fmt: skip
    chosen, settings = config.recommend, _settings(config)
    num_judged = 1 if not models else 2 if settings.rerank.by == "none" else 3
    work = workload.work(
        active,
        items,
        models,
        settings,
        chosen.num_similar,
        config.features.history_length,
        num_judged,
        num_cold,
    )
    room = python_memory.of_session(spark, chosen.python_memory)
    return plan.planned(work, room, chosen.file_mib * python_memory.MIB)


def _judged(
    spark: SparkSession, lake: Lake, config: Config, run_date: dt.date, items: Catalogue,
    twin: KnownModel | None, cold: ColdItems | None,
) -> DataFrame:  # fmt: skip
    """The lists of cut test; those of a re-ranked twin also as they were before, to see what it cost."""
    settings = _settings(config)._replace(explain=False)
    judged = lists.only_judged(
        lake.read(spark, tables.USER_FEATURES, run_date, cut="test"),
        lake.read(spark, tables.TRUTH, run_date, cut="test"),
    )
    judged = _with_history(spark, lake, config, run_date, lists.with_control(judged, 0.0), "test")
    made = lists.under_one_name(lists.lists(judged, items, None, settings, "test", run_date, ()), POPULARITY)
    if twin:
        names = {twin.name: settings}
        if settings.rerank.by != "none":
            names[f"{twin.name}_before_{settings.rerank.by}"] = settings._replace(rerank=Rerank())
        for name, how in names.items():
            read = known_models.history_columns(twin, how.rerank.by)
            of_twin = lists.lists(judged, items, _load(config, twin), how, "test", run_date, read, cold)
            made = made.unionByName(lists.under_one_name(of_twin, name))
    return made


def _settings(config: Config) -> ListSettings:
    chosen = config.recommend
    return ListSettings(
        chosen.num_items,
        chosen.batch_users,
        chosen.num_threads,
        chosen.explain,
        config.rules.num_new_items,
        Rerank(**config.rerank.model_dump()),
        chosen.item_based_max_events,
    )


def _items(lake: Lake, config: Config, run_date: dt.date, cut: str) -> Catalogue:
    return catalogue.catalogue(
        lake.read_rows(tables.ITEM_FEATURES, run_date, cut=cut, columns=catalogue.COLUMNS),
        lake.read_rows(tables.SEGMENT_POPULARITY, run_date, cut=cut),
        Rules(**{name: value for name, value in config.rules if name in Rules._fields}),
        run_date.toordinal(),
    )


def _cold(
    spark: SparkSession, lake: Lake, config: Config, run_date: dt.date, items: Catalogue,
    model: KnownModel | None, cut: str,
) -> ColdItems | None:  # fmt: skip
    """Items the model ranks by their features; for cut test only those that were known at its end."""
    if config.recommend.cold_items == "left_out" or model is None or not cold_items.has_tower(model):
        return None
    features = lake.read(spark, tables.ITEM_FEATURES, run_date, cut=cut)
    if cut == "test":
        known = index.known_before(lake.read(spark, tables.ITEM_INDEX), _end(config, run_date, cut))
        features = features.join(known.select("item_idx"), "item_idx", how="left_semi")
    columns = lake.read_rows(tables.FEATURE_COLUMNS, run_date, cut=cut)
    return cold_items.cold_items(features, columns, items, model)


def _with_history(
    spark: SparkSession, lake: Lake, config: Config, run_date: dt.date, users: DataFrame, cut: str
) -> DataFrame:
    names = (tables.HISTORIES, tables.SEEN_ITEMS, tables.BLOCKED_ITEMS)
    histories, seen, blocked = (lake.read(spark, table, run_date, cut=cut) for table in names)
    is_capped = cut == "night" and config.rules.max_nights > 0
    shown = _shown(spark, lake, config, run_date) if is_capped else blocked.limit(0)
    full = lists.with_history(users, histories, seen, blocked, shown)
    return lists.without_seen(full) if config.recommend.repeats == "allowed" else full


def _shown(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> DataFrame:
    first, last = (run_date - dt.timedelta(days=n) for n in (config.rules.of_nights, 1))
    return lists.shown_often(
        lake.read(spark, tables.RECOMMENDATIONS, since=first, until=last),
        lake.read(spark, tables.USER_FEATURES, run_date, cut="night"),
        lake.read(spark, tables.ITEM_FEATURES, run_date, cut="night"),
        config.rules.max_nights,
    )


def _model(
    spark: SparkSession, lake: Lake, config: Config, run_date: dt.date, role: str, cut: str
) -> KnownModel | None:
    chosen = config.recommend
    models = lake.read_rows(tables.MODELS, until=run_date)
    model = known_models.newest(
        models,
        chosen.recommender,
        role,
        run_date,
        chosen.max_model_age_days,
        _end(config, run_date, cut),
        lake.get_model,
    )
    if model:
        known_models.refuse_another_index(model, lake.read(spark, tables.ITEM_INDEX))
    return model


def _end(config: Config, run_date: dt.date, cut: str) -> dt.datetime:
    split = config.split
    return splits.cut_ends(run_date, split.kind, split.valid_days, split.test_days)[cut]


def _load(config: Config, model: KnownModel | None) -> Callable[[], LoadedModel] | None:
    return partial(known_models.load, model, config.recommend.num_threads) if model else None


if __name__ == "__main__":
    cli.main(run)
