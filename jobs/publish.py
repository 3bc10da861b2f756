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

from recsys_spark import cli, tables
from recsys_spark.config import Config
from recsys_spark.evaluation import gate
from recsys_spark.lake import Lake
from recsys_spark.scoring import live_lists, partitions, plan
from recsys_spark.scoring.python_memory import MIB


def run(spark: SparkSession, lake: Lake, config: Config, run_date: dt.date) -> None:
    """Ask the gate, then write what readers outside use."""
    split, gate_on = config.split.kind, config.publish
    num_items, num_reasons = config.recommend.num_items, config.recommend.num_reasons
    file_bytes = config.recommend.file_mib * MIB

    lists = lake.read(spark, tables.LISTS, run_date, cut="night")
    num_lists = lake.num_rows(tables.LISTS, run_date, cut="night")
    metrics = lake.read_rows(tables.METRICS, run_date).to_pylist()
    items = lake.read_rows(tables.ITEM_FEATURES, run_date, cut="night", columns=("item_idx", "item_id"))
    segment_lists = lake.read(spark, tables.SEGMENT_LISTS, run_date)
    item_lists = lake.read(spark, tables.ITEM_LISTS, run_date)

    gate.refuse_worse(
        metrics,
        gate.recommenders(lists),
        split=split,
        metric=gate_on.metric,
        k=gate_on.k,
        margin=gate_on.margin,
    )
    num_bytes = live_lists.num_bytes(
        num_lists * num_items, num_reasons if live_lists.has_reasons(lists) else 0
    )
    ordered = partitions.in_ranges(lists, plan.num_files(num_bytes, file_bytes))
    lake.write(spark, tables.DEFAULT_RECOMMENDATIONS, run_date, segment_lists)
    lake.write(spark, tables.SIMILAR_ITEMS, run_date, item_lists)
    lake.write_from_python(tables.RECOMMENDATIONS, run_date, [live_lists.spelled_out(ordered, items)])


if __name__ == "__main__":
    cli.main(run)
