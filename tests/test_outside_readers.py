"""The README's snippets for readers outside, run as they stand there."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from pathlib import Path
from typing import Any

import pyspark
import pytest
from pyspark.sql import SparkSession

from recsys_spark import tables
from recsys_spark.lake import Lake

LISTED = {
    "item_id": "i1",
    "rank": 1,
    "score": 0.5,
    "source": "transitions",
    "because": [{"item_id": "i9", "score": 0.25}],
}
README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.fixture(scope="module")
def lake_root(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("readers") / "lake")
    lake = Lake(root)
    for day, user in ((dt.date(2024, 3, 1), "old"), (dt.date(2024, 3, 2), "new, odd ☕")):
        rows = [
            (user, [("i1", 1, 0.5, "transitions", [("i9", 0.25)])], "transitions", None, "", False, None, day)
        ]
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
    assert live["items"].to_list() == [[LISTED]]


def test_duckdb_reads_the_live_lists(lake_root: str) -> None:
    assert snippet("DuckDB", lake_root)["live"].fetchall() == [("new, odd ☕", *LISTED.values())]


def test_pandas_reads_the_live_lists(lake_root: str) -> None:
    live = snippet("pandas", lake_root)["live"]
    assert live["user_id"].tolist() == ["new, odd ☕"]
    assert live["items"][0][0]["item_id"] == "i1"


@pytest.mark.jars
def test_spark_reads_the_live_lists_with_the_delta_jar(lake_root: str, tmp_path: Path) -> None:
    """In a Spark of its own, which fetches the jar: the session of the tests is to have none."""
    code = re.search(r"```python\n# Spark, with the delta-spark jar\n(.*?)```", README, re.S)
    assert code
    (tmp_path / "program.py").write_text(
        "from pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        f"{code[1].replace('/data/lake', lake_root)}"
        "print('USERS', sorted(row.user_id for row in lists.collect()))\n"
    )
    version = ".".join(pyspark.__version__.split(".")[:2])
    command = [
        f"{Path(pyspark.__file__).parent}/bin/spark-submit",
        *("--packages", f"io.delta:delta-spark_{version}_2.13:4.3.0"),
        *("--conf", "spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension"),
        *("--conf", "spark.sql.catalog.spark_catalog=org.apache.spark.sql.delta.catalog.DeltaCatalog"),
        str(tmp_path / "program.py"),
    ]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert "USERS ['new, odd ☕', 'old']" in done.stdout, done.stderr[-2000:]
