"""From the text columns of one feed to contract rows, each with what became of it.

`outcome` is file (record 0: what is known of the file), quarantined or filtered (`reason` says
why, or by which filter), or kept. Order: faults of the record, then filters, then checks.
"""

from __future__ import annotations

import datetime as dt
import re

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from recsys_spark.sources import checks
from recsys_spark.sources.feed import LINE_COUNT, ColumnSource, Feed
from recsys_spark.sources.pseudonyms import pseudonym

TEXT = "__text_"
CONTRACT = {
    "user_id": "string",
    "item_id": "string",
    "event_type": "string",
    "event_at": "timestamp",
    "value": "double",
    "weight": "double",
    "title": "string",
    "categories": "array<string>",
    "price": "double",
    "year": "int",
    "is_available": "boolean",
    "seller": "string",
    "segments": "array<string>",
    "min_age": "int",
    "segment": "string",
    "age": "int",
}


def converted(
    parsed: DataFrame, feed: Feed, *, source: str, order: int, run_date: dt.date, key: bytes | None
) -> DataFrame:
    """One row a record and one a file, in the columns that every feed shares.

    Args:
        order: of the feed in its mapping; earlier feeds win when two deliver one key.
        key: of the pseudonyms, None without.
    """
    asked = {name: _source_column(origin).cast("string") for name, origin in feed.columns.items()}
    texts = parsed.select("*", *[column.alias(f"{TEXT}{name}") for name, column in asked.items()])
    checked = texts.withColumns(_findings(feed, run_date)).withColumns(_verdict())
    if key is not None and "user_id" in feed.columns:
        checked = checked.withColumn(f"{TEXT}user_id", pseudonym(F.col(f"{TEXT}user_id"), key))
    columns = _contract(feed, run_date)
    shared = checked.select(
        F.lit(feed.table).alias("table"),
        F.lit(source).alias("source"),
        F.lit(feed.delivery).alias("delivery"),
        F.lit(order).alias("feed"),
        F.col("__file").alias("file_name"),
        F.col("__record").alias("record"),
        "outcome",
        "reason",
        F.when(F.col("outcome") == "quarantined", _fields(feed, key is not None)).alias("fields"),
        F.when(F.col("outcome").isin("quarantined", "file"), F.col("__raw")).alias("raw"),
        F.col("__sha256").alias("sha256"),
        F.col("__num_bytes").alias("num_bytes"),
        F.col("__num_parsed").alias("num_parsed"),
        *[
            F.when(F.col("outcome") == "kept", columns[name]).cast(kind).alias(name)
            if name in columns
            else F.lit(None).cast(kind).alias(name)
            for name, kind in CONTRACT.items()
        ],
        _row_key(feed).alias("row_key"),
    )
    return _counted(shared) if LINE_COUNT in feed.row_key else shared


def _source_column(origin: ColumnSource) -> Column:
    if origin.column is not None:
        return _quoted(origin.column)
    return F.lit(origin.constant) if origin.sql is None else F.expr(origin.sql)


def _quoted(name: str) -> Column:
    return F.col(f"`{name.replace('`', '``')}`")


def _text(name: str) -> Column:
    return F.col(f"{TEXT}{name}")


def _findings(feed: Feed, run_date: dt.date) -> dict[str, Column]:
    """The first filter that drops the record, and the first reason to refuse it."""
    filters = [checks.named(F.expr(sql), name) for name, sql in feed.filters.items()]
    reasons = [checks.present(_text(name)) for name in ("user_id", "item_id") if name in feed.columns]
    reasons += [reason for _, reason in _converted(feed, run_date).values()]
    if feed.event_types:
        reasons.append(checks.named(_event_type(feed).isNull(), "unknown_event_type"))
    return {"__filtered": checks.first_of(*filters), "__refused": checks.first_of(*reasons)}


def _verdict() -> dict[str, Column]:
    """`reason` and `outcome` of a record, from its fault and the findings."""
    is_file, is_faulty = F.col("__record") == 0, F.col("__fault").isNotNull()
    finding = F.coalesce(F.col("__filtered"), F.col("__refused"))
    outcome = (
        F.when(is_file, "file")
        .when(is_faulty, "quarantined")
        .when(F.col("__filtered").isNotNull(), "filtered")
        .when(F.col("__refused").isNotNull(), "quarantined")
        .otherwise("kept")
    )
    return {"reason": F.when(is_file | is_faulty, F.col("__fault")).otherwise(finding), "outcome": outcome}


def _converted(feed: Feed, run_date: dt.date) -> dict[str, tuple[Column, Column]]:
    columns = {}
    if feed.time is not None:
        columns["event_at"] = checks.instant(
            _text("event_at"), feed.time, feed.time_pattern, feed.time_zone, run_date
        )
    if "value" in feed.columns:
        low, high = feed.value_range or (None, None)
        value, reason = checks.number(_text("value"), "value", low, high)
        if feed.value_range:
            reason = F.coalesce(checks.named(_text("value").isNull(), "null_value"), reason)
        columns["value"] = value, reason
    if "price" in feed.columns:
        columns["price"] = checks.number(_text("price"), "price", 0.0, None)
    for name in ("year", "min_age", "age"):
        if name in feed.columns:
            columns[name] = checks.cast(_text(name), name, "int")
    if "is_available" in feed.columns:
        columns["is_available"] = checks.cast(_text("is_available"), "is_available", "boolean")
    return columns


def _contract(feed: Feed, run_date: dt.date) -> dict[str, Column]:
    columns = {name: _text(name) for name in feed.columns}
    columns |= {name: column for name, (column, _) in _converted(feed, run_date).items()}
    if feed.table == "interactions":
        columns["event_type"] = _event_type(feed)
        weights = {name: F.lit(kind.weight) for name, kind in feed.event_types.items()}
        columns["weight"] = _choose(columns["event_type"], {name: (name,) for name in weights}, weights)
    if feed.table == "items":
        for name in ("categories", "segments"):
            columns[name] = _names(feed, name) if name in feed.columns else F.array()
        columns["is_available"] = F.coalesce(columns.get("is_available", F.lit(True)), F.lit(True))
    return columns


def _event_type(feed: Feed) -> Column:
    words = {name: kind.values or (name,) for name, kind in feed.event_types.items()}
    if feed.columns["event_type"].constant is not None:
        words = {name: (name,) for name in words}
    return _choose(_text("event_type"), words, {name: F.lit(name) for name in words})


def _choose(key: Column, words: dict[str, tuple[str, ...]], result: dict[str, Column]) -> Column:
    return F.coalesce(*[F.when(key.isin(*words[name]), result[name]) for name in words])


def _names(feed: Feed, column: str) -> Column:
    """The distinct names in a field that holds several, sorted."""
    parts = F.split(_text(column), re.escape(feed.categories_separator))
    named = F.filter(F.transform(parts, lambda part: F.trim(part)), lambda part: part != "")
    return F.coalesce(F.array_sort(F.array_distinct(named)), F.array().cast("array<string>"))


def _fields(feed: Feed, hidden: bool) -> Column:
    spoken = feed.columns.get("user_id")
    about_user = (spoken.column or spoken.sql or "") if spoken and hidden else ""
    shown = [name for name in feed.read if not _mentions(about_user, name)]
    pairs = [part for name in shown for part in (F.lit(name), _quoted(name))]
    if about_user:
        pairs += [F.lit("user_id"), _text("user_id")]
    return F.when(F.col("__fault").isNull(), F.create_map(*pairs))


def _mentions(expression: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", expression, re.IGNORECASE) is not None


def _row_key(feed: Feed) -> Column:
    if feed.table != "interactions":
        return _text("item_id" if feed.table == "items" else "user_id")
    parts = [_text(n) if n in feed.columns else _quoted(n) for n in feed.row_key if n != LINE_COUNT]
    # Each part carries its length: (ab, c) and (a, bc) must differ.
    spelled = [
        F.concat(F.coalesce(F.length(p).cast("string"), F.lit("")), F.lit(":"), F.coalesce(p, F.lit("")))
        for p in parts
    ]
    return F.substring(F.sha2(F.concat(*spelled), 256), 1, 32)


def _counted(rows: DataFrame) -> DataFrame:
    """Lines of one file that repeat get the keys k-1, k-2, ...: a redelivered file gives the same."""
    order = Window.partitionBy("file_name", "outcome", "row_key").orderBy("record")
    count = F.row_number().over(order).cast("string")
    return rows.withColumn("row_key", F.concat("row_key", F.lit("-"), count))
