"""What came in from outside, and the numbers its ids got."""

from __future__ import annotations

from recsys_spark.tables.contract import (
    BOOLEAN,
    COUNTS,
    DATE,
    DOUBLE,
    INT,
    LONG,
    ORIGIN,
    RUN_DATE,
    STRING,
    STRINGS,
    TEXTS,
    TIMESTAMP,
    Column,
    Table,
    table,
)

# What arrived ------------------------------------------------------------------------------------

INTERACTIONS = table(
    "interactions",
    [
        ("user_id", STRING, "as delivered, or its HMAC-SHA-256 in hex when pseudonyms are on"),
        ("item_id", STRING, "as delivered"),
        ("event_type", STRING, "view, purchase, rating, ...: named by the mapping"),
        ("event_at", TIMESTAMP, "when it happened; before run_date + 1 day"),
        ("value", DOUBLE, "rating, quantity, ...; null when the source has none; finite"),
        ("weight", DOUBLE, "the mapping's weight of the event type; > 0"),
        ("row_key", STRING, "identifies the event in its source; a redelivered key replaces the old row"),
        *ORIGIN,
        ("source", STRING, "name of the source"),
        RUN_DATE,
    ],
    key=("source", "run_date", "row_key"),
    partitions=("run_date", "source"),
)

ITEMS = table(
    "items",
    [
        ("item_id", STRING, "as delivered"),
        ("title", STRING, "null when unknown"),
        ("categories", STRINGS, "distinct, sorted; empty when unknown"),
        ("price", DOUBLE, "in the source's currency; null when unknown"),
        ("year", INT, "year of release; null when unknown"),
        ("is_available", BOOLEAN, "false: may not be recommended"),
        ("seller", STRING, "who offers it; null when unknown"),
        ("segments", STRINGS, "segments whose users may get it, distinct, sorted; empty: every user may"),
        ("min_age", INT, "years a user must have to get it; null: any age, also an unknown one"),
        *ORIGIN,
        ("source", STRING, "name of the source"),
        RUN_DATE,
    ],
    key=("source", "run_date", "item_id"),
    partitions=("run_date", "source"),
)

USERS = table(
    "users",
    [
        ("user_id", STRING, "as in interactions"),
        ("segment", STRING, "country, plan, ...; null when unknown"),
        ("age", INT, "years; null when unknown"),
        *ORIGIN,
        ("source", STRING, "name of the source"),
        RUN_DATE,
    ],
    key=("source", "run_date", "user_id"),
    partitions=("run_date", "source"),
)

QUARANTINE = table(
    "quarantine",
    [
        ("source", STRING, "name of the source"),
        ("table", STRING, "interactions | items | users: the contract the record was meant for"),
        *ORIGIN,
        ("reason", STRING, "why the record was refused, one word with underscores"),
        ("fields", TEXTS, "the mapped fields as read; the user id only as its pseudonym when those are on"),
        ("raw", STRING, "the record's text; null when pseudonyms are on"),
        RUN_DATE,
    ],
    key=("run_date", "source", "table", "file_name", "record"),
)

SOURCE_FILES = table(
    "source_files",
    [
        ("source", STRING, "name of the source"),
        ("table", STRING, "interactions | items | users"),
        ("delivery", STRING, "increment | full"),
        ("file_name", STRING, "relative to the source's folder"),
        ("sha256", STRING, "of the file's bytes, hex"),
        ("num_bytes", LONG, "size of the file"),
        ("num_parsed", LONG, "records read = kept + filtered + quarantined + duplicates"),
        ("num_kept", LONG, "rows written to the table"),
        ("num_filtered", COUNTS, "records by filter name"),
        ("num_quarantined", COUNTS, "records by reason"),
        ("num_duplicates", LONG, "records whose row key came earlier in this delivery"),
        RUN_DATE,
    ],
    key=("run_date", "source", "table", "file_name"),
)

# Indexes -----------------------------------------------------------------------------------------


def _index(kind: str) -> Table:
    columns: list[Column] = [
        (f"{kind}_id", STRING, "from outside"),
        (f"{kind}_idx", INT, "dense from 2, never changed, never used again"),
        ("first_seen_at", TIMESTAMP, "its first event when it was numbered; null without events"),
        ("run_date", DATE, "the night that numbered it"),
    ]
    return table(f"{kind}_index", columns, key=(f"{kind}_id",), partitions=())


USER_INDEX = _index("user")
ITEM_INDEX = _index("item")
