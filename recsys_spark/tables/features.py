"""What models learn from: histories, features, examples, and the truth they are judged by."""

from __future__ import annotations

from recsys_spark.tables.contract import (
    BOOLEAN,
    CUT,
    DOUBLE,
    FLOAT,
    FLOATS,
    INT,
    INTS,
    LONG,
    RUN_DATE,
    STRING,
    STRINGS,
    TIMESTAMP,
    Column,
    table,
)

# Features ----------------------------------------------------------------------------------------

_LISTS: list[Column] = [
    ("items", INTS, "item_idx, oldest first, left-padded with 0"),
    ("types", INTS, "event type number (1 = first type of the settings' event_types), 0 pads"),
    ("values", FLOATS, "value; NaN where the event has none, 0 pads"),
    ("gaps", INTS, "seconds since the user's event before it, 0 for the first, at most 2^31-1"),
    ("weights", FLOATS, "the event's weight, 0 pads"),
]

HISTORIES = table(
    "histories",
    [
        ("user_idx", INT, ""),
        *_LISTS,
        ("num_events", INT, "events in the list, at most its length"),
        ("first_at", TIMESTAMP, "oldest event in the list"),
        ("last_at", TIMESTAMP, "newest event in the list"),
        CUT,
        RUN_DATE,
    ],
    key=("run_date", "cut", "user_idx"),
    partitions=("run_date", "cut"),
)

SEEN_ITEMS = table(
    "seen_items",
    [
        ("user_idx", INT, ""),
        ("items", INTS, "every distinct item_idx of the user's events, ascending"),
        CUT,
        RUN_DATE,
    ],
    key=("run_date", "cut", "user_idx"),
    partitions=("run_date", "cut"),
)

BAGS = table(
    "bags",
    [
        ("user_idx", INT, ""),
        ("items", INTS, "every distinct item_idx of the user's events of any age, ascending"),
        ("weights", FLOATS, "of each item the summed weights of its events"),
        CUT,
        RUN_DATE,
    ],
    key=("run_date", "cut", "user_idx"),
    partitions=("run_date", "cut"),
)

BLOCKED_ITEMS = table(
    "blocked_items",
    [
        ("user_idx", INT, ""),
        (
            "items",
            INTS,
            "item_idx this user may not get: events of rules.blocking_events named them; ascending",
        ),
        CUT,
        RUN_DATE,
    ],
    key=("run_date", "cut", "user_idx"),
    partitions=("run_date", "cut"),
)

ITEM_FEATURES = table(
    "item_features",
    [
        ("item_idx", INT, ""),
        ("item_id", STRING, ""),
        ("title", STRING, "null when unknown"),
        ("categories", STRINGS, "distinct, sorted"),
        ("is_available", BOOLEAN, "not withdrawn and not marked unavailable"),
        ("seller", STRING, "as in items"),
        ("segments", STRINGS, "as in items"),
        ("min_age", INT, "as in items"),
        ("num_events", LONG, "events before the cut; 0: the item was never trained on"),
        ("num_users", LONG, "distinct users before the cut"),
        ("popularity", DOUBLE, "sum of weight x 0.5^(age in days / half-life) at the cut"),
        ("features", FLOATS, "row of the constant [V, F] matrix; feature_columns names each position"),
        CUT,
        RUN_DATE,
    ],
    key=("run_date", "cut", "item_idx"),
    partitions=("run_date", "cut"),
)

SEGMENT_POPULARITY = table(
    "segment_popularity",
    [
        ("segment", STRING, "'' stands for all users"),
        ("item_idx", INT, ""),
        ("popularity", DOUBLE, "as in item_features, of this segment's users only; > 0"),
        CUT,
        RUN_DATE,
    ],
    key=("run_date", "cut", "segment", "item_idx"),
    partitions=("run_date", "cut"),
)

USER_FEATURES = table(
    "user_features",
    [
        ("user_idx", INT, ""),
        ("user_id", STRING, ""),
        ("segment", STRING, "'' when unknown"),
        ("age", INT, "years; null when unknown"),
        ("is_active", BOOLEAN, "an event in the last active_days before the cut, or listed in users"),
        ("num_events", LONG, "events before the cut; 0: known only from users"),
        ("num_items", LONG, "distinct items before the cut"),
        ("recency_days", DOUBLE, "from the last event to the cut; null without events"),
        ("mean_value", DOUBLE, "null without values"),
        ("std_value", DOUBLE, "population standard deviation; null without values"),
        ("features", FLOATS, "normalised numbers and the affinity per category; see feature_columns"),
        CUT,
        RUN_DATE,
    ],
    key=("run_date", "cut", "user_idx"),
    partitions=("run_date", "cut"),
)

FEATURE_COLUMNS = table(
    "feature_columns",
    [
        ("entity", STRING, "item | user"),
        ("position", INT, "in `features`, from 0"),
        ("name", STRING, "category:Drama, title:17, price, ..."),
        ("mean", DOUBLE, "subtracted; 0 for indicators"),
        ("std", DOUBLE, "divided by; 1 for indicators"),
        CUT,
        RUN_DATE,
    ],
    key=("run_date", "cut", "entity", "position"),
    partitions=("run_date", "cut"),
)

# Examples (cut is valid or night) ------------------------------------------------------------------

EVENT_EXAMPLES = table(
    "event_examples",
    [
        ("user_idx", INT, ""),
        ("item_idx", INT, ""),
        ("value", FLOAT, "NaN where the event has none"),
        ("weight", FLOAT, "event weight x imbalance weight"),
        ("event_at", TIMESTAMP, ""),
        CUT,
        RUN_DATE,
    ],
    key=(),  # a source may hold several equal events
    partitions=("run_date", "cut"),
)

SEQUENCE_EXAMPLES = table(
    "sequence_examples",
    [
        ("user_idx", INT, ""),
        ("window", INT, "0 is the newest; consecutive windows share one event"),
        *_LISTS,
        ("mask", INTS, "1 where the event at this position is a target to predict from those before it"),
        CUT,
        RUN_DATE,
    ],
    key=("run_date", "cut", "user_idx", "window"),
    partitions=("run_date", "cut"),
)

USER_EXAMPLES = table(
    "user_examples",
    [
        ("user_idx", INT, ""),
        ("items", INTS, "distinct item_idx, by newest event, right-padded with 0"),
        ("values", FLOATS, "value of the newest event with the item; NaN missing, 0 pads"),
        ("weights", FLOATS, "summed event weight x imbalance weight, 0 pads"),
        ("num_items", INT, "items in the list"),
        ("num_overflow", INT, "distinct items that did not fit"),
        CUT,
        RUN_DATE,
    ],
    key=("run_date", "cut", "user_idx"),
    partitions=("run_date", "cut"),
)

TRUTH = table(
    "truth",
    [
        ("user_idx", INT, "a user with at least one event before the cut and one after it"),
        (
            "items",
            INTS,
            "distinct item_idx in the window after the cut, by first event; without those "
            "seen before the cut unless repeats are allowed",
        ),
        CUT,
        RUN_DATE,
    ],
    key=("run_date", "cut", "user_idx"),
    partitions=("run_date", "cut"),
)
