"""Measure the lists: the twin's and popularity's on the test events, the live ones on what happened since.

Reads   truth, lists     cut test
        recommendations  the newest run date before this one: what was live
        interactions     events since then; source_files says which rows are current
        user_index       who was known then
        user_features    how many users were known, cuts test and night
        item_features    categories and popularity, cuts test and night
Writes  metrics          one row a split, recommender (and difference), metric and k
"""

from __future__ import annotations

import datetime as dt

from pyspark.sql import SparkSession

from recsys_spark import cli, tables
from recsys_spark.config import Config
from recsys_spark.evaluation import bootstrap, gate, item_facts, judged, measure
from recsys_spark.lake import Lake
from recsys_spark.scoring.user_rows import with_control
from recsys_spark.transforms.arrivals import only_current


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Write the metrics of the night."""
    split, share = config.split, config.recommend.control_share
    repeats_allowed = config.recommend.repeats == "allowed"
    settings = measure.Settings(
        config.evaluate.ks, split.min_users, config.evaluate.bootstrap_samples, config.evaluate.seed
    )
    facts = {
        cut: item_facts.item_facts(
            lake.read_rows(tables.ITEM_FEATURES, run_date, cut=cut, columns=item_facts.COLUMNS),
            lake.num_rows(tables.USER_FEATURES, run_date, cut=cut),
        )
        for cut in ("test", "night")
    }

    lists = lake.read(spark, tables.LISTS, run_date, cut="test")
    truth = lake.read(spark, tables.TRUTH, run_date, cut="test")
    num_users = lake.num_rows(tables.TRUTH, run_date, cut="test")
    names = gate.recommenders(lists)
    on_test = judged.on_test(truth, lists, names)
    rows = measure.measure(on_test, num_users, facts["test"], names, split=split.kind, settings=settings)

    nights = lake.dates(tables.RECOMMENDATIONS, until=run_date - dt.timedelta(days=1))
    if nights:
        live_date = nights[-1]
        index = lake.read(spark, tables.USER_INDEX)
        arrived = lake.read(spark, tables.INTERACTIONS, until=run_date)
        source_files = lake.read(spark, tables.SOURCE_FILES, until=run_date).coalesce(1)  # few: no shuffle
        since_live = judged.since_live(
            only_current(arrived, source_files, run_date, "interactions"),
            with_control(judged.known_users(index, live_date), share),
            lake.read(spark, tables.RECOMMENDATIONS, live_date),
            live_date=live_date,
            run_date=run_date,
            repeats_allowed=repeats_allowed,
        )
        newer = [day for day in lake.dates(tables.INTERACTIONS, until=run_date) if day > live_date]
        num_events = sum(lake.num_rows(tables.INTERACTIONS, day) for day in newer)
        names = [judged.LIVE, judged.CONTROL] if share else [judged.LIVE]
        rows += measure.measure(
            since_live,
            num_events if num_events < bootstrap.MAX_BLOCKS else None,
            facts["night"],
            names,
            split="live",
            settings=settings,
        )
    lake.write_rows(tables.METRICS, run_date, [{**row, "run_date": run_date} for row in rows])


if __name__ == "__main__":
    cli.main(run)
