"""The data dictionary: every table of the lake, its columns, units and what makes a row unique.

Words used in every table:

`run_date`  the night (UTC day) whose run wrote the row; in `interactions` it is the arrival date
`cut`       which events a row was built from; `role`, which of a recommender's two models it is:

    events up to run_date: older    valid window  test window   what is learnt        what lists are made of
    cut valid              ██████                               twin                  none; epochs and a blend's
                                                                                      weights are chosen on the
                                                                                      valid window
    cut test               ████████████████████                 nothing               the twin's, judged on the
                                                                                      test window
    cut night              ██████████████████████████████████   published model       tonight's, for readers

            With leave_last_out the windows are each user's last event and the one before it.
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
    ITEM_LISTS,
    LISTS,
    METRICS,
    MODELS,
    RECOMMENDATIONS,
    RUNS,
    SEGMENT_LISTS,
    SIMILAR_ITEMS,
)

ALL = tuple(value for value in list(globals().values()) if isinstance(value, Table))


def named(name: str | None) -> Table | None:
    """The table of a name; None for no name."""
    return next((table for table in ALL if table.name == name), None)


__all__ = [
    "ALL",
    "BAGS",
    "BLOCKED_ITEMS",
    "CUTS",
    "DEFAULT_RECOMMENDATIONS",
    "EVENT_EXAMPLES",
    "FEATURE_COLUMNS",
    "FIRST_IDX",
    "HISTORIES",
    "INTERACTIONS",
    "ITEMS",
    "ITEM_FEATURES",
    "ITEM_INDEX",
    "ITEM_LISTS",
    "LISTS",
    "METRICS",
    "MODELS",
    "PADDING",
    "QUARANTINE",
    "RECOMMENDATIONS",
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
    "named",
]
