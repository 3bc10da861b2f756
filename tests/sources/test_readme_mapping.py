"""The README's own example takes a CSV through ingest, word for word."""

from __future__ import annotations

import datetime as dt
import re
import textwrap
from pathlib import Path

import yaml
from pyspark.sql import SparkSession

from recsys_spark import config, tables
from recsys_spark.jobs import ingest
from recsys_spark.lake import Lake

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_readme_example_is_a_working_mapping(spark: SparkSession, tmp_path: Path) -> None:
    mapping, overlay = (
        textwrap.dedent(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.S)[:2]
    )
    (tmp_path / "my_shop.yaml").write_text(mapping)
    settings = yaml.safe_load(overlay)
    settings["lake"]["root"] = str(tmp_path / "lake")
    settings["sources"]["shop"] = {"mapping": str(tmp_path / "my_shop.yaml"), "folder": str(tmp_path)}
    (tmp_path / "my_settings.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "orders").mkdir()
    header, row = "customer;sku;bought_at;pieces", "c 1;007;2024-03-01 12:00:00;2"
    (tmp_path / "orders" / "2024-03-01.csv").write_text(f"{header}\n{row}\n")
    lake = Lake(str(tmp_path / "lake"))
    ingest.run(spark, lake, config.load([str(tmp_path / "my_settings.yaml")]), dt.date(2024, 3, 1))
    (event,) = lake.read_rows(tables.INTERACTIONS).to_pylist()
    assert (event["user_id"], event["item_id"], event["value"]) == ("c 1", "007", 2.0)
    assert event["event_at"] == dt.datetime(2024, 3, 1, 11, tzinfo=dt.UTC)
