"""The README's snippets for readers outside, run as they stand there."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from recsys_spark import tables
from recsys_spark.lake import Lake

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.fixture(scope="module")
def lake_root(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("readers") / "lake")
    lake = Lake(root)
    for day, user in ((dt.date(2024, 3, 1), "old"), (dt.date(2024, 3, 2), "new, odd ☕")):
        rows = [(user, [("i1", 1, 0.5, "popularity")], "popularity", None, "", False, None, day)]
        lake.write(
            spark, tables.RECOMMENDATIONS, day, spark.createDataFrame(rows, tables.RECOMMENDATIONS.schema)
        )
    return root


def snippet(name: str, root: str) -> dict[str, Any]:
    code = re.search(rf"```python\n# {name}\n(.*?)```", README, re.S)
    assert code, f"the README has no snippet for {name}"
    scope: dict[str, Any] = {}
    exec(code[1].replace("/data/lake", root), scope)
    return scope


def test_polars_reads_the_live_lists(lake_root: str) -> None:
    live = snippet("polars", lake_root)["live"]
    assert live["user_id"].to_list() == ["new, odd ☕"]
    assert live["items"].to_list() == [[{"item_id": "i1", "rank": 1, "score": 0.5, "source": "popularity"}]]


def test_duckdb_reads_the_live_lists(lake_root: str) -> None:
    assert snippet("DuckDB", lake_root)["live"].fetchall() == [("new, odd ☕", "i1", 1, 0.5, "popularity")]


def test_pandas_reads_the_live_lists(lake_root: str) -> None:
    live = snippet("pandas", lake_root)["live"]
    assert live["user_id"].tolist() == ["new, odd ☕"]
    assert live["items"][0][0]["item_id"] == "i1"


@pytest.mark.jars
def test_spark_reads_the_live_lists_with_the_delta_jar(lake_root: str) -> None:
    """Run with the delta-spark jar on the class path: make test-jars SPARK_JARS=/path/to/jars."""
    session = (
        SparkSession.builder.config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .getOrCreate()
    )
    lists = session.read.format("delta").load(f"{lake_root}/recommendations")
    assert lists.count() == 2
