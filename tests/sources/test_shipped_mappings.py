"""Every shipped mapping reads a file as its source ships it; so does Parquet. One night takes them all."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pyspark.sql import SparkSession

from recsys_spark import config, tables
from recsys_spark.jobs import ingest
from recsys_spark.lake import Lake

D = dt.date(2026, 1, 31)
AT = dt.datetime(2001, 1, 1, 0, 0, 7, tzinfo=dt.UTC)
SECOND = int(AT.timestamp())
U_ITEM = "1|Toy Story (1995)|01-Jan-1995||http://x|" + "|".join("0001110000000000000")

FILES = {
    "movielens_csv": {
        "ratings.csv": f"userId,movieId,rating,timestamp\n1,1,4.0,{SECOND}\n",
        "movies.csv": 'movieId,title,genres\n1,"American President, The (1995)",Comedy|Drama\n'
        "2,No Year,(no genres listed)\n",
    },
    "movielens_1m": {
        "ratings.dat": f"1::1193::5::{SECOND}\n",
        "movies.dat": "1193::Léon: The Professional (1994)::Crime|Drama\n",
        "users.dat": "1::F::1::10::48067\n",
    },
    "movielens_100k": {
        "u.data": f"196\t1\t3\t{SECOND}\n",
        "u.item": f"{U_ITEM}\n",
        "u.user": "196|49|M|writer|55105\n",
    },
    "recbole": {
        "x.inter": f"user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t{SECOND}\n",
        "x.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "242\tKolya\t1996\tComedy Drama\n",
    },
    "template": {
        f"events-{D}.csv": "time,visitor,action,product,amount,page\n2001-01-01 00:00:07,00 7,detail,a,-,x\n"
        "2001-01-01 00:00:07,00 7,purchase,a,2.5,x\n2001-01-01 00:00:07,bot-1,purchase,a,1,x\n",
        "products.jsonl": '{"sku": "a", "name": "Tea ☕", "tags": ["b", "a"], "price": 2.50, "year": 1999, '
        '"in_stock": "no", "shop": "s", "countries": ["fr", "de"], "age_limit": 18}\n',
        f"users-{D}.csv": "id,country,age\n00 7,de,30\nx,,\n",
    },
}
PARQUET = {
    "table": "interactions",
    "files": "*.parquet",
    "delivery": "increment",
    "format": "parquet",
    "read": ["who", "what", "at"],
    "columns": {"user_id": "who", "item_id": "what", "event_type": {"constant": "view"}, "event_at": "at"},
    "event_types": {"view": {"weight": 2.0}},
    "time": "epoch_milliseconds",
    "row_key": ["user_id", "item_id", "event_at"],
}


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    root = tmp_path_factory.mktemp("shipped")
    sources = {}
    for name, files in FILES.items():
        (root / name).mkdir()
        for file, text in files.items():
            encoding = "latin-1" if name in ("movielens_1m", "movielens_100k") else "utf-8"
            (root / name / file).write_bytes(text.encode(encoding))
        sources[name] = {"mapping": name, "folder": f"{root}/{name}"}
    (root / "parquet").mkdir()
    events = {"who": ["u", None], "what": [7, 8], "at": [SECOND * 1000, SECOND * 1000], "secret": ["s", "s"]}
    pq.write_table(pa.table(events), root / "parquet" / "part.parquet")
    (root / "parquet.yaml").write_text(yaml.safe_dump({"feeds": [PARQUET]}))
    sources["parquet"] = {"mapping": f"{root}/parquet.yaml", "folder": f"{root}/parquet"}
    made = Lake(f"{root}/lake")
    ingest.run(spark, made, config.load([], [f"sources={sources}", "ingest.max_quarantined_share=0.5"]), D)
    return made


def rows(lake: Lake, table: tables.Table, source: str, *columns: str) -> list[tuple[Any, ...]]:
    rows = lake.read_rows(table, D).to_pylist()
    return sorted(tuple(row[name] for name in columns) for row in rows if row["source"] == source)


@pytest.mark.parametrize(
    ("source", "event"),
    [
        ("movielens_csv", ("1", "1", "rating", 4.0)),
        ("movielens_1m", ("1", "1193", "rating", 5.0)),
        ("movielens_100k", ("196", "1", "rating", 3.0)),
        ("recbole", ("196", "242", "rating", 3.0)),
        ("parquet", ("u", "7", "view", None)),
    ],
)
def test_events_arrive(lake: Lake, source: str, event: tuple[Any, ...]) -> None:
    columns = ("user_id", "item_id", "event_type", "value", "event_at")
    assert rows(lake, tables.INTERACTIONS, source, *columns) == [(*event, AT)]


@pytest.mark.parametrize(
    ("source", "item"),
    [
        ("movielens_csv", ("1", "American President, The", 1995, ["Comedy", "Drama"])),
        ("movielens_1m", ("1193", "Léon: The Professional", 1994, ["Crime", "Drama"])),
        ("movielens_100k", ("1", "Toy Story", 1995, ["Animation", "Children", "Comedy"])),
        ("recbole", ("242", "Kolya", 1996, ["Comedy", "Drama"])),
        ("template", ("a", "Tea ☕", 1999, ["a", "b"])),
    ],
)
def test_items_arrive(lake: Lake, source: str, item: tuple[Any, ...]) -> None:
    assert rows(lake, tables.ITEMS, source, "item_id", "title", "year", "categories")[0] == item


def test_segments_arrive(lake: Lake) -> None:
    assert rows(lake, tables.USERS, "movielens_1m", "user_id", "segment") == [("1", "F")]
    assert rows(lake, tables.USERS, "movielens_100k", "user_id", "segment") == [("196", "writer")]


def test_the_template_works_as_it_is(lake: Lake) -> None:
    columns = ("user_id", "event_type", "weight", "event_at")
    assert rows(lake, tables.INTERACTIONS, "template", *columns) == [
        ("00 7", "purchase", 5.0, AT),
        ("00 7", "view", 1.0, AT),
    ]
    (events, *_) = rows(lake, tables.SOURCE_FILES, "template", "file_name", "num_parsed", "num_filtered")
    assert events == (f"events-{D}.csv", 3, [("robot", 1)])
    assert rows(lake, tables.ITEMS, "template", "is_available", "price") == [(False, 2.5)]
    assert rows(lake, tables.ITEMS, "template", "seller", "segments", "min_age") == [("s", ["de", "fr"], 18)]
    assert rows(lake, tables.USERS, "template", "user_id", "segment", "age") == [
        ("00 7", "de", 30),
        ("x", None, None),
    ]


def test_a_bad_parquet_row_is_quarantined_with_the_mapped_fields_only(lake: Lake) -> None:
    ((reason, fields),) = rows(lake, tables.QUARANTINE, "parquet", "reason", "fields")
    assert reason == "null_id"
    assert "secret" not in dict(fields)
