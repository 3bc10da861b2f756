"""Measure the lists: the twin's and popularity's on the test events, the live ones on what happened since.

Reads   truth, lists     cut test
        recommendations  the newest run date before this one: what was live
        interactions     events since then; source_files says which rows are current
        user_index       who was known then
        item_features    categories and popularity, cuts test and night
Writes  metrics          one row a split, recommender (and difference), metric and k
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from pyspark.sql import SparkSession

from recsys_spark import cli, tables
from recsys_spark.config import Config
from recsys_spark.evaluation import catalogue, gate, judged, measure
from recsys_spark.evaluation.catalogue import Catalogue
from recsys_spark.lake import Lake
from recsys_spark.scoring import user_rows
from recsys_spark.transforms import arrivals


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Write the metrics of the night."""
    rows = _on_test(spark, lake, config, run_date) + _live(spark, lake, config, run_date)
    lake.write_rows(tables.METRICS, run_date, [{**row, "run_date": run_date} for row in rows])


def _on_test(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> list[dict[str, Any]]:
    made = lake.read(spark, tables.LISTS, run_date, cut="test")
    truth = lake.read(spark, tables.TRUTH, run_date, cut="test")
    names = gate.recommenders(made)
    pairs = judged.on_test(truth, made, names)
    how = (names, config.split.kind, *_settings(config))
    return measure.measure(pairs, _catalogue(lake, run_date, "test"), *how)


def _live(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> list[dict[str, Any]]:
    nights = lake.dates(tables.RECOMMENDATIONS, until=run_date - dt.timedelta(days=1))
    if not nights:
        return []
    share = config.recommend.control_share
    index = lake.read(spark, tables.USER_INDEX)
    source_files = lake.read(spark, tables.SOURCE_FILES, until=run_date)
    events = lake.read(spark, tables.INTERACTIONS, until=run_date)
    pairs = judged.since_published(
        arrivals.only_current(events, source_files, run_date, "interactions"),
        user_rows.with_control(judged.known_users(index, nights[-1]), share),
        lake.read(spark, tables.RECOMMENDATIONS, nights[-1]),
        nights[-1],
        run_date,
        repeats_allowed=config.recommend.repeats == "allowed",
    )
    names = [judged.PUBLISHED, judged.CONTROL] if share else [judged.PUBLISHED]
    how = (names, "live", *_settings(config))
    numbered = judged.by_item_idx(
        pairs, lake.read(spark, tables.ITEM_FEATURES, run_date, cut="night")
    ).persist()
    try:
        return measure.measure(numbered, _catalogue(lake, run_date, "night"), *how)
    finally:
        numbered.unpersist()


def _catalogue(lake: Lake, run_date: dt.date, cut: str) -> Catalogue:
    return catalogue.catalogue(
        lake.read_rows(tables.ITEM_FEATURES, run_date, cut=cut, columns=catalogue.COLUMNS),
        lake.num_rows(tables.USER_FEATURES, run_date, cut=cut),
    )


def _settings(config: Config) -> tuple[Any, ...]:
    how = config.evaluate
    return how.ks, config.split.min_users, how.bootstrap_samples, how.seed


if __name__ == "__main__":
    cli.main(run)
