import numpy as np
import pytest

from recsys_spark.evaluation import bootstrap


def test_every_resample_draws_as_many_blocks_as_there_are():
    drawn = bootstrap.resamples(7, 50, 3)
    assert drawn.sum(axis=1).tolist() == [7.0] * 50
    assert np.array_equal(drawn, bootstrap.resamples(7, 50, 3))
    assert not np.array_equal(drawn, bootstrap.resamples(7, 50, 4))


def test_the_interval_of_a_mean_is_close_to_the_normal_one():
    values = np.random.default_rng(1).normal(size=(900, 1))
    means = bootstrap.means(bootstrap.resamples(900, 2000, 1), values, np.ones(900))
    low, high = bootstrap.interval(means[:, 0])
    assert high - low == pytest.approx(2 * 1.96 / 30, rel=0.1)
    assert low < values.mean() < high


def test_blocks_count_their_users():
    means = bootstrap.means(np.array([[2.0, 1.0]]), np.array([[4.0], [1.0]]), np.array([4.0, 1.0]))
    assert means.tolist() == [[1.0]]


def test_resamples_without_a_user_are_left_out():
    means = bootstrap.means(
        np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[3.0], [0.0]]), np.array([1.0, 0.0])
    )
    assert bootstrap.interval(means[:, 0]) == (3.0, 3.0)
    assert bootstrap.interval(np.array([np.nan])) == (None, None)


def test_no_users_have_no_interval():
    drawn = bootstrap.resamples(0, 100, 1)
    assert bootstrap.interval(bootstrap.means(drawn, np.zeros((0, 1)), np.zeros(0))[:, 0]) == (None, None)


def test_few_users_are_a_block_each_and_many_share_blocks(spark):
    users = spark.range(3000).withColumnRenamed("id", "user")
    for num_users, expected in [(1999, 3000), (2000, 2000)]:
        blocks = users.select(bootstrap.block("user", num_users).alias("block")).distinct().count()
        assert blocks <= expected
        assert blocks > expected * 0.75
