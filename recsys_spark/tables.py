"""The data dictionary: every table of the lake, its columns, units and what makes a row unique.

Words used in every table:

`run_date`  the night (UTC day) whose run wrote the row; in `interactions` it is the arrival date
`cut`       which events a row was built from:
            `valid`  only train events (before the validation window): what the twin learns from
            `test`   train and validation events: what the twin's lists are made from
            `night`  every event up to the run date: what the published model and lists use
`_id`       a string from outside; `_idx` our dense integer (0 pads, 1 is unknown, real ones from 2)
`_at`       a UTC instant

Lists in example tables and histories are left-padded with 0 to one fixed length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from recsys_spark.errors import BadDataError

CUTS = ("valid", "test", "night")

STRING, INT, LONG, FLOAT, DOUBLE = StringType(), IntegerType(), LongType(), FloatType(), DoubleType()
BOOLEAN, DATE, TIMESTAMP = BooleanType(), DateType(), TimestampType()
INTS, FLOATS, STRINGS = ArrayType(INT), ArrayType(FLOAT), ArrayType(STRING)
COUNTS, TEXTS = MapType(STRING, LONG), MapType(STRING, STRING)

Column = tuple[str, DataType, str]


class DataFile(NamedTuple):
    """One committed Parquet file: its URI and the rows of each of its row groups, in order."""

    uri: str
    row_group_rows: tuple[int, ...]

    @property
    def num_rows(self) -> int:
        """Rows of the file."""
        return sum(self.row_group_rows)


@dataclass(frozen=True)
class Table:
    """A contract: the name, the columns in order, what makes a row unique, how files are parted."""

    name: str
    schema: StructType
    key: tuple[str, ...]
    partitions: tuple[str, ...]

    def check(self, df: DataFrame) -> DataFrame:
        """Cut `df` to exactly this table's columns, in order.

        Raises BadDataError naming every missing column and every wrong type at once.
        """
        got = {field.name: field.dataType for field in df.schema}
        faults = [f"{f.name}: missing" for f in self.schema if f.name not in got]
        faults += [
            f"{f.name}: expected {f.dataType.simpleString()}, got {got[f.name].simpleString()}"
            for f in self.schema
            if f.name in got and got[f.name].simpleString() != f.dataType.simpleString()
        ]
        if faults:
            raise BadDataError(f"table {self.name}: {'; '.join(faults)}")
        return df.select(*self.schema.fieldNames())


def _table(
    name: str, columns: Sequence[Column], key: Sequence[str], partitions: Sequence[str] = ("run_date",)
) -> Table:
    fields = [StructField(n, t, True, {"comment": comment}) for n, t, comment in columns]
    return Table(name, StructType(fields), tuple(key), tuple(partitions))


_RUN_DATE: Column = ("run_date", DATE, "the night that wrote the row")
_CUT: Column = ("cut", STRING, "valid | test | night: which events the row was built from")
_ORIGIN: list[Column] = [
    ("file_name", STRING, "file of the delivery, relative to the source's folder"),
    ("record", LONG, "record number in the file, from 1, the header not counted"),
]

# What arrived ------------------------------------------------------------------------------------

INTERACTIONS = _table(
    "interactions",
    [
        ("user_id", STRING, "as delivered, or its HMAC-SHA-256 in hex when pseudonyms are on"),
        ("item_id", STRING, "as delivered"),
        ("event_type", STRING, "view, purchase, rating, ...: named by the mapping"),
        ("event_at", TIMESTAMP, "when it happened; before run_date + 1 day"),
        ("value", DOUBLE, "rating, quantity, ...; null when the source has none; finite"),
        ("weight", DOUBLE, "the mapping's weight of the event type; > 0"),
        ("row_key", STRING, "identifies the event in its source; a redelivered key replaces the old row"),
        *_ORIGIN,
        ("source", STRING, "name of the source"),
        _RUN_DATE,
    ],
    key=("source", "run_date", "row_key"),
    partitions=("run_date", "source"),
)

ITEMS = _table(
    "items",
    [
        ("item_id", STRING, "as delivered"),
        ("title", STRING, "null when unknown"),
        ("categories", STRINGS, "distinct, sorted; empty when unknown"),
        ("price", DOUBLE, "in the source's currency; null when unknown"),
        ("year", INT, "year of release; null when unknown"),
        ("is_available", BOOLEAN, "false: may not be recommended"),
        *_ORIGIN,
        ("source", STRING, "name of the source"),
        _RUN_DATE,
    ],
    key=("source", "run_date", "item_id"),
    partitions=("run_date", "source"),
)

USERS = _table(
    "users",
    [
        ("user_id", STRING, "as in interactions"),
        ("segment", STRING, "country, plan, ...; null when unknown"),
        *_ORIGIN,
        ("source", STRING, "name of the source"),
        _RUN_DATE,
    ],
    key=("source", "run_date", "user_id"),
    partitions=("run_date", "source"),
)

QUARANTINE = _table(
    "quarantine",
    [
        ("source", STRING, "name of the source"),
        ("table", STRING, "interactions | items | users: the contract the record was meant for"),
        *_ORIGIN,
        ("reason", STRING, "why the record was refused, one word with underscores"),
        ("fields", TEXTS, "the mapped fields as read; the user id only as its pseudonym when those are on"),
        ("raw", STRING, "the record's text; null when pseudonyms are on"),
        _RUN_DATE,
    ],
    key=("run_date", "source", "table", "file_name", "record"),
)

SOURCE_FILES = _table(
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
        _RUN_DATE,
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
    return _table(f"{kind}_index", columns, key=(f"{kind}_id",), partitions=())


USER_INDEX = _index("user")
ITEM_INDEX = _index("item")

# Features ----------------------------------------------------------------------------------------

_LISTS: list[Column] = [
    ("items", INTS, "item_idx, oldest first, left-padded with 0"),
    ("types", INTS, "event type number (1 = first type of the settings' event_types), 0 pads"),
    ("values", FLOATS, "value; NaN where the event has none, 0 pads"),
    ("gaps", INTS, "seconds since the user's event before it, 0 for the first, at most 2^31-1"),
    ("weights", FLOATS, "the event's weight, 0 pads"),
]

HISTORIES = _table(
    "histories",
    [
        ("user_idx", INT, ""),
        *_LISTS,
        ("num_events", INT, "events in the list, at most its length"),
        ("first_at", TIMESTAMP, "oldest event in the list"),
        ("last_at", TIMESTAMP, "newest event in the list"),
        _CUT,
        _RUN_DATE,
    ],
    key=("run_date", "cut", "user_idx"),
    partitions=("run_date", "cut"),
)

SEEN_ITEMS = _table(
    "seen_items",
    [
        ("user_idx", INT, ""),
        ("items", INTS, "every distinct item_idx of the user's events, ascending"),
        _CUT,
        _RUN_DATE,
    ],
    key=("run_date", "cut", "user_idx"),
    partitions=("run_date", "cut"),
)

ITEM_FEATURES = _table(
    "item_features",
    [
        ("item_idx", INT, ""),
        ("item_id", STRING, ""),
        ("title", STRING, "null when unknown"),
        ("categories", STRINGS, "distinct, sorted"),
        ("is_available", BOOLEAN, "not withdrawn and not marked unavailable"),
        ("num_events", LONG, "events before the cut; 0: the item was never trained on"),
        ("num_users", LONG, "distinct users before the cut"),
        ("popularity", DOUBLE, "sum of weight x 0.5^(age in days / half-life) at the cut"),
        ("features", FLOATS, "row of the constant [V, F] matrix; feature_columns names each position"),
        _CUT,
        _RUN_DATE,
    ],
    key=("run_date", "cut", "item_idx"),
    partitions=("run_date", "cut"),
)

SEGMENT_POPULARITY = _table(
    "segment_popularity",
    [
        ("segment", STRING, "'' stands for all users"),
        ("item_idx", INT, ""),
        ("popularity", DOUBLE, "as in item_features, of this segment's users only; > 0"),
        _CUT,
        _RUN_DATE,
    ],
    key=("run_date", "cut", "segment", "item_idx"),
    partitions=("run_date", "cut"),
)

USER_FEATURES = _table(
    "user_features",
    [
        ("user_idx", INT, ""),
        ("user_id", STRING, ""),
        ("segment", STRING, "'' when unknown"),
        ("is_active", BOOLEAN, "an event in the last active_days before the cut, or listed in users"),
        ("num_events", LONG, "events before the cut; 0: known only from users"),
        ("num_items", LONG, "distinct items before the cut"),
        ("recency_days", DOUBLE, "from the last event to the cut; null without events"),
        ("mean_value", DOUBLE, "null without values"),
        ("std_value", DOUBLE, "population standard deviation; null without values"),
        ("features", FLOATS, "normalised numbers and the affinity per category; see feature_columns"),
        _CUT,
        _RUN_DATE,
    ],
    key=("run_date", "cut", "user_idx"),
    partitions=("run_date", "cut"),
)

FEATURE_COLUMNS = _table(
    "feature_columns",
    [
        ("entity", STRING, "item | user"),
        ("position", INT, "place in `features`, from 0"),
        ("name", STRING, "category:Drama, title:17, price, ..."),
        ("mean", DOUBLE, "subtracted; 0 for indicators"),
        ("std", DOUBLE, "divided by; 1 for indicators"),
        _CUT,
        _RUN_DATE,
    ],
    key=("run_date", "cut", "entity", "position"),
    partitions=("run_date", "cut"),
)

# Examples (cut is valid or night) ------------------------------------------------------------------

EVENT_EXAMPLES = _table(
    "event_examples",
    [
        ("user_idx", INT, ""),
        ("item_idx", INT, ""),
        ("value", FLOAT, "NaN where the event has none"),
        ("weight", FLOAT, "event weight x imbalance weight"),
        ("event_at", TIMESTAMP, ""),
        _CUT,
        _RUN_DATE,
    ],
    key=(),  # a source may hold several equal events
    partitions=("run_date", "cut"),
)

SEQUENCE_EXAMPLES = _table(
    "sequence_examples",
    [
        ("user_idx", INT, ""),
        ("window", INT, "0 is the newest; consecutive windows share one event"),
        *_LISTS,
        ("mask", INTS, "1 where the event at this position is a target to predict from those before it"),
        _CUT,
        _RUN_DATE,
    ],
    key=("run_date", "cut", "user_idx", "window"),
    partitions=("run_date", "cut"),
)

USER_EXAMPLES = _table(
    "user_examples",
    [
        ("user_idx", INT, ""),
        ("items", INTS, "distinct item_idx, by newest event, right-padded with 0"),
        ("values", FLOATS, "value of the newest event with the item; NaN missing, 0 pads"),
        ("weights", FLOATS, "summed event weight x imbalance weight, 0 pads"),
        ("num_items", INT, "items in the list"),
        ("num_overflow", INT, "distinct items that did not fit"),
        _CUT,
        _RUN_DATE,
    ],
    key=("run_date", "cut", "user_idx"),
    partitions=("run_date", "cut"),
)

TRUTH = _table(
    "truth",
    [
        ("user_idx", INT, "a user with at least one event before the cut and one after it"),
        (
            "items",
            INTS,
            "distinct item_idx in the window after the cut, by first event; without those "
            "seen before the cut unless repeats are allowed",
        ),
        _CUT,
        _RUN_DATE,
    ],
    key=("run_date", "cut", "user_idx"),
    partitions=("run_date", "cut"),
)

# Models and lists ----------------------------------------------------------------------------------

MODELS = _table(
    "models",
    [
        ("name", STRING, "name of the recommender"),
        ("role", STRING, "twin: learnt from cut valid, for the gate; published: from cut night"),
        ("data_end", TIMESTAMP, "every training event is before this instant"),
        ("version", STRING, "sha256 of the weights file: the name of the model's folder"),
        ("files", TEXTS, "sha256 of each file of the folder, by file name"),
        ("manifest", STRING, "JSON: data versions, settings, seed, libraries, rows per epoch, figures"),
        _RUN_DATE,
    ],
    key=("run_date", "name", "role"),
)

_LISTED = [
    StructField("item_id", STRING),
    StructField("rank", INT),
    StructField("score", DOUBLE),
    StructField("source", STRING),
]
LISTED_IDX = ArrayType(StructType([StructField("item_idx", INT), *_LISTED]))
LISTED = ArrayType(StructType(_LISTED))
_ABOUT_LIST: list[Column] = [
    ("recommender", STRING, "what filled the list: the model's name or popularity"),
    ("model_version", STRING, "null for popularity"),
    ("segment", STRING, "'' when unknown"),
    ("is_control", BOOLEAN, "true: in the control group, which gets popularity"),
    ("reason", STRING, "why the list holds fewer than N; null when it is full"),
]

LISTS = _table(
    "lists",
    [
        ("user_idx", INT, ""),
        ("user_id", STRING, ""),
        ("items", LISTED_IDX, "by rank from 1; score descending, ties by item_idx; source of each"),
        *_ABOUT_LIST,
        _CUT,
        _RUN_DATE,
    ],
    key=("run_date", "cut", "recommender", "user_idx"),
    partitions=("run_date", "cut"),
)

SEGMENT_LISTS = _table(
    "segment_lists",
    [("segment", STRING, "'' is everybody"), ("items", LISTED, "by rank"), _RUN_DATE],
    key=("run_date", "segment"),
)

ITEM_LISTS = _table(
    "item_lists",
    [
        ("item_id", STRING, ""),
        ("items", LISTED, "most similar first, by cosine of the item vectors"),
        ("model_version", STRING, ""),
        _RUN_DATE,
    ],
    key=("run_date", "item_id"),
)

METRICS = _table(
    "metrics",
    [
        ("split", STRING, "time | leave_last_out: the twin on test; live: last night's lists since then"),
        ("recommender", STRING, "a - b: the paired difference of two"),
        ("metric", STRING, "ndcg, recall, ..."),
        ("k", INT, ""),
        ("value", DOUBLE, ""),
        ("ci_low", DOUBLE, "2.5 % bound by bootstrap over users; null where it has none"),
        ("ci_high", DOUBLE, "97.5 % bound"),
        ("num_users", LONG, "users judged"),
        ("is_judged", BOOLEAN, "false: too few users to judge, the gate does not use it"),
        _RUN_DATE,
    ],
    key=("run_date", "split", "recommender", "metric", "k"),
)

# What readers outside use (live is the greatest run date of `recommendations`) -----------------------

RECOMMENDATIONS = _table(
    "recommendations",
    [("user_id", STRING, ""), ("items", LISTED, "by rank from 1"), *_ABOUT_LIST, _RUN_DATE],
    key=("run_date", "user_id"),
)
DEFAULT_RECOMMENDATIONS = _table(
    "default_recommendations",
    [*[(f.name, f.dataType, "") for f in SEGMENT_LISTS.schema]],
    key=("run_date", "segment"),
)
SIMILAR_ITEMS = _table(
    "similar_items", [*[(f.name, f.dataType, "") for f in ITEM_LISTS.schema]], key=("run_date", "item_id")
)

# Lineage: the only table with clock times ------------------------------------------------------------

RUNS = _table(
    "runs",
    [
        ("job", STRING, ""),
        ("run_date", DATE, ""),
        ("attempt", STRING, "named in the commits this run made"),
        ("code", STRING, "version of the package"),
        ("settings_hash", STRING, "sha256 of the settings, secrets left out"),
        ("versions_read", COUNTS, "Delta version by table"),
        ("versions_written", COUNTS, "Delta version by table"),
        ("started_at", TIMESTAMP, "clock"),
        ("seconds", DOUBLE, "wall time"),
        ("exit_status", INT, "0 done; see the README for the others"),
        ("message", STRING, "the error's line; null when done"),
    ],
    key=("attempt", "job"),
    partitions=(),
)

ALL = tuple(value for value in list(globals().values()) if isinstance(value, Table))
