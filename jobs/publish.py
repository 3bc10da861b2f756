"""Let tonight's lists go live, unless the gate finds their model worse than popularity.

Reads   metrics                  of the run date: what the gate looks at
        lists                    cut night
        item_features            the ids of the items, cut night
        segment_lists, item_lists
Writes  default_recommendations  for visitors without an id
        similar_items
        recommendations          last: its commit makes the night live

Live are the lists of the greatest run date; publishing an older one again never makes it live.
"""

from __future__ import annotations

import datetime as dt

from pyspark.sql import SparkSession

from recsys_spark import cli, models, tables
from recsys_spark.config import Config
from recsys_spark.evaluation import gate
from recsys_spark.lake import Lake
from recsys_spark.scoring import partitions, plan, published
from recsys_spark.scoring.python_memory import MIB


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Ask the gate, then write what readers outside use."""
    tonight = lake.read(spark, tables.LISTS, run_date, cut="night")
    gate.refuse_worse(
        lake.read_rows(tables.METRICS, run_date).to_pylist(),
        gate.recommenders(tonight),
        config.split.kind,
        config.publish.metric,
        config.publish.k,
        config.publish.margin,
    )
    items = lake.read_rows(tables.ITEM_FEATURES, run_date, cut="night", columns=("item_idx", "item_id"))
    segments = lake.read(spark, tables.SEGMENT_LISTS, run_date)
    similar = lake.read(spark, tables.ITEM_LISTS, run_date)
    lake.write(spark, tables.DEFAULT_RECOMMENDATIONS, run_date, segments)
    lake.write(spark, tables.SIMILAR_ITEMS, run_date, similar)
    places = lake.num_rows(tables.LISTS, run_date, "night") * config.recommend.num_items
    has_reasons = (
        config.recommend.explain
        or models.ALL[models.ranked_by(config.recommend.recommenders)].has_exact_reasons
    )
    num_bytes = published.num_bytes(places, config.recommend.num_reasons if has_reasons else 0)
    num_files = plan.num_files(num_bytes, config.recommend.file_mib * MIB)
    tonight = partitions.in_ranges(tonight, num_files)
    lake.write_made(tables.RECOMMENDATIONS, run_date, [published.published(tonight, items)])


if __name__ == "__main__":
    cli.main(run)
