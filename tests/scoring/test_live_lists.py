import datetime as dt

import pyarrow as pa

from recsys_spark import tables
from recsys_spark.scoring.live_lists import has_reasons, spelled_out

D = dt.date(2024, 5, 31)
ITEMS = pa.table({"item_idx": pa.array([3, 2, 5], pa.int32()), "item_id": ["b", "a", "d"]})


def test_each_place_is_spelled_out_with_ids(spark):
    full = {
        "user_id": "u",
        "user_idx": 2,
        "items": [5, 2, 3],
        "scores": [2.0, 1.0, 0.5],
        "filled_by": [("m", 2), ("popularity", 1)],
        "because": [3, 2, 5, 5, 0, 0, 0, 0, 0],
        "because_scores": [0.25, 0.125, 0.0625, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0],
        "recommender": "m",
        "run_date": D,
    }
    plain = {**full, "user_id": "v", "because": [], "because_scores": []}
    empty = {
        **plain,
        "user_id": "w",
        "items": [],
        "scores": [],
        "filled_by": [],
        "reason": "too_few_candidates",
    }
    lists = spark.createDataFrame(
        [tuple(row.get(name) for name in tables.LISTS.schema.names) for row in (full, empty, plain)],
        tables.LISTS.schema,
    )
    made = tables.RECOMMENDATIONS.check(spelled_out(lists.coalesce(1), ITEMS).rows()).collect()
    rows = {row.user_id: [tuple(item) for item in row["items"]] for row in made}
    assert rows["u"] == [
        ("d", 1, 2.0, "m", [("b", 0.25), ("a", 0.125), ("d", 0.0625)]),
        ("a", 2, 1.0, "m", [("d", 0.5)]),
        ("b", 3, 0.5, "popularity", []),
    ]
    assert rows["v"] == [(*place[:4], []) for place in rows["u"]]
    assert rows["w"] == []
    assert {(row.recommender, row.run_date) for row in made} == {("m", D)}


def test_lists_have_reasons_when_one_of_them_says_why(spark):
    silent, speaking = ("u", []), ("v", [2])
    for rows, expected in ([silent], False), ([silent, speaking], True), ([], False):
        assert has_reasons(spark.createDataFrame(rows, "user_id string, because array<int>")) == expected
