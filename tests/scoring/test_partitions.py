import pyarrow.parquet as pq
import pytest

from recsys_spark.scoring.partitions import in_partitions

NUM_USERS = 4000


def shuffled(spark, num_users=NUM_USERS):
    """Users in an order that says nothing of their ids, through an exchange of the adaptive kind."""
    numbers = spark.range(num_users).selectExpr("cast(id * 7919 % 4001 AS int) AS user_idx")
    return numbers.selectExpr("user_idx", "concat('u', user_idx % 97, '-', user_idx) AS user_id").distinct()


def ranked(users, cut):
    """As the scoring job does: Python between the exchange and the file."""
    return users.mapInArrow(lambda batches: batches, users.schema).selectExpr("*", f"'{cut}' AS cut")


def files(folder):
    """The user ids of each file, in the file's order."""
    return [pq.read_table(path)["user_id"].to_pylist() for path in sorted(folder.rglob("part-*.parquet"))]


def are_sorted_and_disjoint(found):
    in_order = sorted(found)
    ids = [user_id for file in in_order for user_id in file]
    return ids == sorted(ids)


@pytest.fixture(scope="module")
def written(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists") / "written"
    users = in_partitions(shuffled(spark), 5)
    both = ranked(users.where("user_idx % 3 = 0"), "test").unionByName(ranked(users, "night"))
    both.write.partitionBy("cut").parquet(str(folder))
    return folder


def test_each_file_is_sorted_and_no_two_ranges_meet(written):
    night = files(written / "cut=night")
    assert sum(map(len, night)) == NUM_USERS
    assert are_sorted_and_disjoint(night)
    assert are_sorted_and_disjoint(files(written / "cut=test"))


def test_there_are_as_many_files_as_asked_for_and_none_is_much_larger(written):
    sizes = list(map(len, files(written / "cut=night")))
    assert len(sizes) == 5
    assert max(sizes) < 1.5 * NUM_USERS / 5


def test_more_partitions_than_users_leave_every_user_there_once(spark, tmp_path):
    in_partitions(shuffled(spark, 3), 7).write.parquet(str(tmp_path / "few"))
    found = [user_id for file in files(tmp_path / "few") for user_id in file]
    assert sorted(found) == sorted(row.user_id for row in shuffled(spark, 3).collect())


def test_no_users_are_no_error(spark, tmp_path):
    in_partitions(shuffled(spark, 0), 4).write.parquet(str(tmp_path / "none"))
    assert sum(map(len, files(tmp_path / "none"))) == 0
