import datetime as dt

import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from recsys_spark import tables
from recsys_spark.lake import Lake
from recsys_spark.python_tasks import FromPython
from recsys_spark.scoring.partitions import in_ranges

D = dt.date(2024, 5, 31)
NUM_USERS = 4000
_SPILL = "spark.shuffle.spill.numElementsForceSpillThreshold"


@pytest.fixture(scope="module")
def spilling(spark):
    """Sorts spill after 100 rows, as they do among many long lists."""
    conf = spark._jvm.org.apache.spark.SparkEnv.get().conf()
    conf.set(_SPILL, "100")
    yield spark
    conf.remove(_SPILL)


def shuffled(spark, num_users=NUM_USERS):
    """Users in an order that says nothing of their ids, behind an exchange that adaptive execution may change."""
    numbers = spark.range(num_users).selectExpr("cast(id * 7919 % 4001 AS int) AS user_idx")
    return numbers.selectExpr("user_idx", "concat('u', user_idx % 97, '-', user_idx) AS user_id").distinct()


def ranked(users, cut):
    """Rows of LISTS made in Python, as the scoring job makes them."""
    empty = [
        F.lit(None).cast(field.dataType).alias(field.name)
        for field in tables.LISTS.schema
        if field.name not in ("user_idx", "user_id", "cut", "run_date")
    ]
    rows = users.select("*", *empty, F.lit(cut).alias("cut"), F.lit(D).alias("run_date"))
    return FromPython(tables.LISTS.check(rows), iter, tables.LISTS.schema)


def files(folder):
    """The user ids of each file, in the file's order."""
    return [pq.read_table(path)["user_id"].to_pylist() for path in sorted(folder.rglob("part-*.parquet"))]


def are_sorted_and_disjoint(found):
    ids = [user_id for file in sorted(found) for user_id in file]
    return ids == sorted(ids)


@pytest.fixture(scope="module")
def written(spilling, tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    users = in_ranges(shuffled(spilling), 5)
    both = [ranked(users.where("user_idx % 3 = 0"), "test"), ranked(users, "night")]
    Lake(str(root)).write_from_python(tables.LISTS, D, both)
    return root / "lists" / f"run_date={D}"


def test_each_file_is_sorted_and_no_two_ranges_meet(written):
    night = files(written / "cut=night")
    assert sum(map(len, night)) == NUM_USERS
    assert are_sorted_and_disjoint(night)
    assert are_sorted_and_disjoint(files(written / "cut=test"))


def test_there_are_as_many_files_as_asked_for_and_none_is_much_larger(written):
    sizes = list(map(len, files(written / "cut=night")))
    assert len(sizes) == 5
    assert max(sizes) < 1.5 * NUM_USERS / 5


@pytest.mark.parametrize("num_users", [0, 1, 3])
def test_more_partitions_than_users_leave_every_user_there_once(spark, tmp_path, num_users):
    in_ranges(shuffled(spark, num_users), 7).write.parquet(str(tmp_path / "few"))
    found = [user_id for file in files(tmp_path / "few") for user_id in file]
    assert sorted(found) == sorted(row.user_id for row in shuffled(spark, num_users).collect())
