import datetime as dt

from recsys_spark.transforms import blocked

D = dt.date(2024, 5, 31)
ENDS = {"test": dt.datetime(2024, 5, 30, tzinfo=dt.UTC), "night": dt.datetime(2024, 6, 1, tzinfo=dt.UTC)}


def at(day, hour=0):
    return dt.datetime(2024, 5, day, hour, tzinfo=dt.UTC)


def test_events_of_blocking_types_block_from_their_instant_on_and_are_not_learnt(spark):
    rows = [
        ("a", "y", "hide", at(29, 23)),
        ("a", "x", "hide", at(29, 23)),
        ("a", "x", "hide", at(1)),
        ("a", "z", "hide", at(30)),  # the instant at which cut test ends
        ("a", "z", "view", at(2)),
        ("b", "x", "never", at(31, 23)),
        ("b", "y", "hide", at(31) + dt.timedelta(days=1)),  # after the run date
    ]
    events = spark.createDataFrame(
        rows, "user_id string, item_id string, event_type string, event_at timestamp"
    )
    users = spark.createDataFrame([("a", 2), ("b", 3)], "user_id string, user_idx int")
    items = spark.createDataFrame([("x", 4), ("y", 3), ("z", 2)], "item_id string, item_idx int")
    types = ["hide", "never"]
    asked = blocked.blocking(events, users, items, D, types)
    got = blocked.blocked_items(asked, ENDS).collect()
    assert sorted((row.cut, row.user_idx, row["items"]) for row in got) == [
        ("night", 2, [2, 3, 4]),
        ("night", 3, [4]),
        ("test", 2, [3, 4]),
    ]
    assert [row.event_type for row in blocked.without_blocking(events, types).collect()] == ["view"]


def test_without_blocking_types_everything_is_learnt_and_nothing_blocked(spark):
    events = spark.createDataFrame(
        [("a", "x", "view", at(1))], "user_id string, item_id string, event_type string, event_at timestamp"
    )
    nobody = spark.createDataFrame([], "user_id string, user_idx int")
    nothing = spark.createDataFrame([], "item_id string, item_idx int")
    assert blocked.blocking(events, nobody, nothing, D, ()).count() == 0
    assert blocked.without_blocking(events, ()).count() == 1
