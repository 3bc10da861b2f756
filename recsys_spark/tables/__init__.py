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

from recsys_spark.tables.arrived import (
    INTERACTIONS,
    ITEM_INDEX,
    ITEMS,
    QUARANTINE,
    SOURCE_FILES,
    USER_INDEX,
    USERS,
)
from recsys_spark.tables.contract import CUTS, FIRST_IDX, PADDING, UNKNOWN, DataFile, Table
from recsys_spark.tables.features import (
    BAGS,
    BLOCKED_ITEMS,
    EVENT_EXAMPLES,
    FEATURE_COLUMNS,
    HISTORIES,
    ITEM_FEATURES,
    SEEN_ITEMS,
    SEGMENT_POPULARITY,
    SEQUENCE_EXAMPLES,
    TRUTH,
    USER_EXAMPLES,
    USER_FEATURES,
)
from recsys_spark.tables.lists import (
    DEFAULT_RECOMMENDATIONS,
    FILLED_BY,
    ITEM_LISTS,
    LISTED,
    LISTS,
    METRICS,
    MODELS,
    RECOMMENDATIONS,
    RECOMMENDED,
    RUNS,
    SEGMENT_LISTS,
    SIMILAR_ITEMS,
)

ALL = tuple(value for value in list(globals().values()) if isinstance(value, Table))

__all__ = [
    "ALL",
    "BAGS",
    "BLOCKED_ITEMS",
    "CUTS",
    "DEFAULT_RECOMMENDATIONS",
    "EVENT_EXAMPLES",
    "FEATURE_COLUMNS",
    "FILLED_BY",
    "FIRST_IDX",
    "HISTORIES",
    "INTERACTIONS",
    "ITEMS",
    "ITEM_FEATURES",
    "ITEM_INDEX",
    "ITEM_LISTS",
    "LISTED",
    "LISTS",
    "METRICS",
    "MODELS",
    "PADDING",
    "QUARANTINE",
    "RECOMMENDATIONS",
    "RECOMMENDED",
    "RUNS",
    "SEEN_ITEMS",
    "SEGMENT_LISTS",
    "SEGMENT_POPULARITY",
    "SEQUENCE_EXAMPLES",
    "SIMILAR_ITEMS",
    "SOURCE_FILES",
    "TRUTH",
    "UNKNOWN",
    "USERS",
    "USER_EXAMPLES",
    "USER_FEATURES",
    "USER_INDEX",
    "DataFile",
    "Table",
]
