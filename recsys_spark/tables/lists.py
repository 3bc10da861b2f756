"""Models, lists, metrics, what readers outside use, and the lineage of every run."""

from __future__ import annotations

from recsys_spark.tables.contract import (
    BOOLEAN,
    COUNTS,
    CUT,
    DATE,
    DOUBLE,
    DOUBLES,
    INT,
    INTS,
    LONG,
    RUN_DATE,
    STRING,
    TEXTS,
    TIMESTAMP,
    Column,
    Type,
    array,
    struct,
    table,
)

# Models and lists ----------------------------------------------------------------------------------

MODELS = table(
    "models",
    [
        ("name", STRING, "name of the recommender"),
        ("role", STRING, "twin: learnt from cut valid, for the gate; published: from cut night"),
        ("form", STRING, "what a fitted one is: item_item | vectors | blend"),
        ("split", STRING, "time | leave_last_out: of the cuts; a twin has seen the answers of another split"),
        ("learns_from", STRING, "table of examples; null: item_features alone, or a blend's members"),
        ("data_end", TIMESTAMP, "every training event is before this instant"),
        ("num_items", INT, "V: one more than the greatest item_idx it knows"),
        ("item_index_hash", STRING, "hash of all numbers below num_items and their ids"),
        ("epochs", INT, "epochs trained; null where there are none"),
        ("start_version", STRING, "of the model that a warm start began with; null for a cold one"),
        ("members", TEXTS, "of a blend: version by name; else empty"),
        ("version", STRING, "sha256 over the names and sha256 of its files: the name of the model's folder"),
        ("files", TEXTS, "sha256 of each file of the folder, by file name"),
        (
            "state_files",
            TEXTS,
            "sha256 of each file that a warm start also reads; empty where it cannot start",
        ),
        (
            "manifest",
            STRING,
            "JSON, for people: data versions, settings, seed, libraries, rows per epoch, figures",
        ),
        RUN_DATE,
    ],
    key=("run_date", "name", "role"),
)

_LISTED: dict[str, Type] = {"item_id": STRING, "rank": INT, "score": DOUBLE, "source": STRING}
# What speaks for an item: the ids of the items of those events that raised its score most, the greatest first, and by
# how much the score would be lower without that event; empty when a fallback placed the item or the model gives none.
BECAUSE = array(struct(item_id=STRING, score=DOUBLE))
LISTED = array(struct(**_LISTED))
RECOMMENDED = array(struct(**_LISTED, because=BECAUSE))
FILLED_BY = array(struct(source=STRING, num_items=INT))
_ABOUT_LIST: list[Column] = [
    ("recommender", STRING, "what filled the list: the model's name or popularity"),
    ("model_version", STRING, "null for popularity"),
    ("segment", STRING, "'' when unknown"),
    ("is_control", BOOLEAN, "true: in the control group, which gets popularity"),
    ("reason", STRING, "why the list holds fewer than N; null when it is full"),
]

# Numbers in plain arrays: a hundred places a user, written twice as fast as structs with texts. RECOMMENDATIONS
# has the same lists with the ids spelled out.
LISTS = table(
    "lists",
    [
        ("user_idx", INT, ""),
        ("user_id", STRING, ""),
        ("items", INTS, "item_idx by rank; score descending, ties by item_idx"),
        ("scores", DOUBLES, "of each item"),
        ("filled_by", FILLED_BY, "by rank: which source placed the next so many items"),
        (
            "because",
            INTS,
            "by item_idx, of each item as many as the settings say, 0: no more. empty: no reason given at all",
        ),
        ("because_scores", DOUBLES, "of each reason; 0 where there is none"),
        *_ABOUT_LIST,
        (
            "fingerprint",
            LONG,
            "hash of all that the list is made of; null: it will not be kept another night",
        ),
        (
            "ranked_on",
            DATE,
            "run date that ranked it; an earlier one: kept since, nothing behind it has changed",
        ),
        CUT,
        RUN_DATE,
    ],
    key=("run_date", "cut", "recommender", "user_idx"),
    partitions=("run_date", "cut"),
)

SEGMENT_LISTS = table(
    "segment_lists",
    [("segment", STRING, "'' is everybody"), ("items", LISTED, "by rank"), RUN_DATE],
    key=("run_date", "segment"),
)

ITEM_LISTS = table(
    "item_lists",
    [
        ("item_id", STRING, ""),
        (
            "items",
            LISTED,
            "most similar first: by cosine of the item vectors, or by what most follows the item",
        ),
        ("model_version", STRING, ""),
        RUN_DATE,
    ],
    key=("run_date", "item_id"),
)

METRICS = table(
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
        RUN_DATE,
    ],
    key=("run_date", "split", "recommender", "metric", "k"),
)

# What readers outside use (live is the greatest run date of `recommendations`) -----------------------

RECOMMENDATIONS = table(
    "recommendations",
    [("user_id", STRING, ""), ("items", RECOMMENDED, "by rank from 1"), *_ABOUT_LIST, RUN_DATE],
    key=("run_date", "user_id"),
)
DEFAULT_RECOMMENDATIONS = table(
    "default_recommendations",
    [(name, kind, "") for name, kind, _ in SEGMENT_LISTS.columns],
    key=("run_date", "segment"),
)
SIMILAR_ITEMS = table(
    "similar_items", [(name, kind, "") for name, kind, _ in ITEM_LISTS.columns], key=("run_date", "item_id")
)

# Lineage: the only table with clock times ------------------------------------------------------------

RUNS = table(
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
