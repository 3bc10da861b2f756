"""recommend and publish on a small lake: the plan, what it refuses, and the files that come out."""

import datetime as dt
import importlib
import re

import pyarrow.parquet as pq
import pytest

from recsys_spark import cli, tables
from recsys_spark import config as settings
from recsys_spark.lake import Lake

D = dt.date(2024, 5, 31)
USERS, ITEMS = range(2, 302), range(2, 14)
ARROW = [f"spark.sql.execution.arrow.max{what}PerBatch" for what in ("Records", "Bytes")]
# A place takes 14 bytes in lists and 15 in recommendations, as planned: 300,000 places are 4.2 MB and 4.5 MB.
LONG = ("recommend.num_items=1000", "recommend.file_mib=1")


def job(name):
    return importlib.import_module(f"recsys_spark.jobs.{name}").run


def config(root, *options):
    return settings.load(options=[f"lake.root={root}", "recommend.recommenders=popularity", *options])


def user_id(user_idx):
    """Ids whose order is not that of the numbers."""
    return f"u{user_idx * 97 % 1009:04}"


def rows_of_a_cut(cut):
    """Everybody is active and saw the item numbered like a digit of theirs; user 2 has blocked two more."""
    return {
        tables.USER_FEATURES: [
            {"user_idx": u, "user_id": user_id(u), "segment": "", "is_active": True, "num_events": 1} for u in USERS
        ],
        tables.ITEM_FEATURES: [
            {"item_idx": i, "item_id": f"i{i}", "categories": [], "is_available": True, "num_events": i,
             "num_users": i, "popularity": 100.0 - i, "features": [1.0], "segments": []}
            for i in ITEMS
        ],
        tables.SEGMENT_POPULARITY: [{"segment": "", "item_idx": i, "popularity": 100.0 - i} for i in ITEMS],
        tables.HISTORIES: [],
        tables.SEEN_ITEMS: [{"user_idx": u, "items": [2 + u % 10]} for u in USERS],
        tables.BLOCKED_ITEMS: [{"user_idx": 2, "items": [12, 13]}],
        tables.TRUTH: [{"user_idx": u, "items": [2]} for u in USERS if cut == "test"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def root(spark, tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    lake, all_rows = Lake(str(root)), {}
    for cut in ("test", "night"):
        for table, rows in rows_of_a_cut(cut).items():
            all_rows.setdefault(table, []).extend({**row, "cut": cut, "run_date": D} for row in rows)
    for table, rows in all_rows.items():
        told = [tuple(row.get(field.name) for field in table.schema) for row in rows]
        lake.write(spark, table, D, spark.createDataFrame(told, table.schema).repartition(3))
    return root


def users_by_file(root, table, cut=None):
    """The user ids of each committed file, in the file's order."""
    return [
        pq.read_table(file.uri.removeprefix("file://"), columns=["user_id"])["user_id"].to_pylist()
        for file in Lake(str(root)).files(table, D, cut)
    ]


def written(root):
    """The newest version of each table that the job has written."""
    lake = Lake(str(root))
    for table in (tables.LISTS, tables.SEGMENT_LISTS, tables.ITEM_LISTS):
        lake.read_rows(table, D)
    return lake.versions_read


def test_a_small_night_is_one_file_in_order_of_the_users(root, spark):
    job("recommend")(spark, Lake(str(root)), config(root), D)
    job("publish")(spark, Lake(str(root)), config(root), D)
    everybody = sorted(map(user_id, USERS))
    assert users_by_file(root, tables.LISTS, "night") == [everybody]
    assert users_by_file(root, tables.RECOMMENDATIONS) == [everybody]


def test_many_places_are_files_of_the_target_size_whose_ranges_of_users_do_not_meet(root, spark):
    for name in ("recommend", "publish"):
        job(name)(spark, Lake(str(root)), config(root, *LONG), D)
    for table, cut, num_files in ((tables.LISTS, "night", 5), (tables.RECOMMENDATIONS, None, 5)):
        found = users_by_file(root, table, cut)
        assert len(found) == num_files
        assert [user for file in sorted(found) for user in file] == sorted(map(user_id, USERS))


def test_the_plan_of_the_night_is_logged_with_what_was_counted(root, spark, caplog):
    with caplog.at_level("INFO", "recsys_spark.scoring.plan"):
        job("recommend")(spark, Lake(str(root)), config(root, *LONG), D)
    [line] = [message for message in caplog.messages if message.startswith("plan ")]
    assert line.startswith("plan users=300 items=14 partitions=5 arrow_rows=")
    assert re.search(r" workers=2 worker_mib=\d+ shared_mib=0 room_mib=\d+$", line)


def test_what_the_session_said_of_arrow_holds_again_afterwards(root, spark):
    before = [spark.conf.get(name) for name in ARROW]
    job("recommend")(spark, Lake(str(root)), config(root), D)
    assert [spark.conf.get(name) for name in ARROW] == before


def test_too_little_memory_ends_the_job_with_one_line_and_nothing_written(root, spark, caplog):
    before = written(root)
    chosen = config(root, "recommend.python_memory=100m", *LONG)
    with caplog.at_level("ERROR", "recsys_spark"):
        outcome = cli.execute("recommend", job("recommend"), chosen, D, lambda: spark)
    assert outcome.exit_status == 10
    assert re.fullmatch(
        r"recommend: 2 workers of 0\.\d\d GiB each and 0\.00 GiB of shared model files need \d\.\d\d GiB, the executor "
        r"has 0\.10 GiB for Python \(recommend\.python_memory\): lower the cores of an executor .* or raise the memory",
        outcome.message,
    )
    [line] = caplog.messages
    assert line.endswith(outcome.message)
    assert written(root) == before
