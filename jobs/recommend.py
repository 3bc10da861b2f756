"""Make the lists: for the gate those of the twin and of popularity, for readers tonight's own.

Reads   user_features, histories, seen_items, blocked_items, item_features, segment_popularity  cuts test, night
        truth            cut test: only these users are judged
        recommendations  of the last nights: what was shown too often stays out
        item_index       a model that learnt other numbers is refused; which items were known at cut test
        feature_columns  what tonight's features are, for the item tower of a model
        models           the newest twin and the newest published model, young enough
        lists            of the newest night before, those that still hold are kept (recommend.only_changed)
Writes  segment_lists    what a visitor without an id gets, a list a segment
        item_lists       similar items by the published model; none on nights of popularity
        lists            cut test: one a recommender and judged user; cut night: one an active user
"""

from __future__ import annotations

import datetime as dt
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import NamedTuple

from pyspark.sql import DataFrame, SparkSession

from recsys_spark import cli, tables
from recsys_spark.config import Config
from recsys_spark.evaluation import splits
from recsys_spark.lake import Lake
from recsys_spark.python_tasks import Made
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
    unchanged,
    workload,
)
from recsys_spark.scoring.catalogue import POPULARITY, Catalogue
from recsys_spark.scoring.known_models import KnownModel
from recsys_spark.scoring.rules import ListSettings, Rerank, Rules
from recsys_spark.scoring.unchanged import Parted
from recsys_spark.transforms import index


class Basis(NamedTuple):
    """What the lists of a cut are made of, beside the users."""

    items: Catalogue
    model: KnownModel | None
    cold: ColdItems | None


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Write every list of the run date, or nothing if the workers have too little memory for it."""
    past = _basis(spark, lake, config, run_date, "twin", "test")
    now = _basis(spark, lake, config, run_date, "published", "night")
    judged = _judged(spark, lake, config, run_date)
    active = lists.only_active(lake.read(spark, tables.USER_FEATURES, run_date, cut="night"))
    active = lists.with_control(active, config.recommend.control_share)
    active = _with_history(spark, lake, config, run_date, active, "night")
    with _parted(spark, lake, config, run_date, active, now) as users:
        planned = _planned(spark, config, users, judged, past, now)
        with partitions.arrow_batches(spark, planned.arrow_rows, planned.arrow_bytes):
            if users.checked is not None:
                again = _by_model(config, run_date, users.checked[0], now, _settings(config), "night")
                unchanged.refuse_different(again.rows(), users.checked[1])
            _write_shared(spark, lake, config, run_date, now)
            ranked = partitions.in_file_order(partitions.in_partitions(users.ranked, planned.num_partitions))
            made = [_by_model(config, run_date, ranked, now, _settings(config), "night")]
            if users.kept is not None:
                made.append(unchanged.as_they_are(partitions.in_file_order(users.kept)))
            judged = judged.repartition(planned.judged_partitions, "user_id")
            made += _of_judged(config, run_date, partitions.in_file_order(judged), past)
            lake.write_made(tables.LISTS, run_date, made)


def _basis(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date, role: str, cut: str) -> Basis:
    items = _items(lake, config, run_date, cut)
    model = _model(spark, lake, config, run_date, role, cut)
    return Basis(items, model, _cold(spark, lake, config, run_date, items, model, cut))


def _parted(
    spark: SparkSession, lake: Lake, config: Config, run_date: dt.date, active: DataFrame, now: Basis
) -> AbstractContextManager[Parted]:
    """Who is ranked, and who keeps the list of the newest night before this one."""
    if not config.recommend.only_changed or now.model is None:
        return nullcontext(Parted(active))
    settings = _settings(config)
    shared = unchanged.basis(now.items, now.model, settings, now.cold)
    read = known_models.history_columns(now.model, settings.rerank.by)
    active = unchanged.with_fingerprint(active, shared, read)
    nights = lake.dates(tables.LISTS, until=run_date - dt.timedelta(days=1))
    if not nights:
        return nullcontext(Parted(active))
    earlier = lake.read(spark, tables.LISTS, nights[-1], cut="night")
    return unchanged.parted(active, earlier, config.recommend.checked_share, run_date)


def _planned(
    spark: SparkSession, config: Config, users: Parted, judged: DataFrame, past: Basis, now: Basis
) -> plan.Plan:
    chosen, settings = config.recommend, _settings(config)
    models = [basis.model for basis in (past, now) if basis.model]
    num_judged = 1 if not models else 2 if settings.rerank.by == "none" else 3
    work = workload.work(
        users.ranked if users.checked is None else users.ranked.unionByName(users.checked[0]),
        judged,
        now.items,
        models,
        settings,
        chosen.num_similar,
        config.features.history_length,
        num_judged,
        sum(len(basis.cold.item_idx) for basis in (past, now) if basis.cold),
    )
    room = python_memory.of_session(spark, chosen.python_memory)
    return plan.planned(work, room, chosen.file_mib * python_memory.MIB)


def _by_model(
    config: Config, run_date: dt.date, users: DataFrame, basis: Basis, settings: ListSettings, cut: str,
    judged_as: str | None = None,
) -> Made:  # fmt: skip
    """Lists by the model of the basis, filled up by popularity; without one, by popularity alone."""
    model = basis.model
    load = partial(known_models.load, model, config.recommend.num_threads) if model else None
    read = known_models.history_columns(model, settings.rerank.by)
    return lists.lists(users, basis.items, load, settings, cut, run_date, read, basis.cold, judged_as)


def _write_shared(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date, now: Basis) -> None:
    """The lists that are nobody's own: of segments, and of items."""
    chosen = config.recommend
    lake.write_rows(tables.SEGMENT_LISTS, run_date, catalogue.segment_lists(now.items, chosen.num_items))
    known = lake.read(spark, tables.ITEM_FEATURES, run_date, cut="night")
    size = (chosen.num_similar, chosen.batch_users, chosen.num_threads)
    similar = similar_items.similar_items(known, now.items, now.model, *size, run_date)
    lake.write(spark, tables.ITEM_LISTS, run_date, similar)


def _judged(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> DataFrame:
    judged = lists.only_judged(
        lake.read(spark, tables.USER_FEATURES, run_date, cut="test"),
        lake.read(spark, tables.TRUTH, run_date, cut="test"),
    )
    return _with_history(spark, lake, config, run_date, lists.with_control(judged, 0.0), "test")


def _of_judged(config: Config, run_date: dt.date, judged: DataFrame, past: Basis) -> list[Made]:
    """The lists of cut test; those of a re-ranked twin also as they were before, to see what it cost."""
    settings = _settings(config)._replace(explain=False)
    made = [(POPULARITY, Basis(past.items, None, None), settings)]
    if past.model:
        name, by = past.model.name, settings.rerank.by
        made.append((name, past, settings))
        if by != "none":
            made.append((f"{name}_before_{by}", past, settings._replace(rerank=Rerank())))
    return [_by_model(config, run_date, judged, basis, how, "test", name) for name, basis, how in made]


def _settings(config: Config) -> ListSettings:
    chosen = config.recommend
    return ListSettings(
        chosen.num_items,
        chosen.batch_users,
        chosen.num_threads,
        chosen.explain,
        chosen.num_reasons,
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
    return splits.cut_ends(splits.Split(run_date, split.kind, split.valid_days, split.test_days))[cut]


if __name__ == "__main__":
    cli.main(run)
