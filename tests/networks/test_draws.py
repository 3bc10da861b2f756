"""Keys give the same draws everywhere; negatives come by their shares, trained items only."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

from recsys_spark.networks import draws

COUNTS = np.array([0, 0, 8, 0, 1, 27, 0, 64])  # 2, 4, 5 and 7 are trained
NUM = 200_000
PROGRAM = """
import numpy as np
from recsys_spark.networks import draws
from recsys_spark.networks.augmentation import augment
key = draws.key(3, 2, 1, 4)
shares = draws.shares(np.array([0, 0, 8, 0, 1, 27, 0, 64]), 0.75)
rows = {name: np.arange(1, 25).reshape(2, 12) for name in ("items", "types", "values", "gaps", "weights")}
seen, trains = augment(rows, key, crop_share=0.5, mask_share=0.5, reorder_share=1.0)
print(draws.by_popularity(shares, 9, key)[0].numpy().tolist())
print(draws.uniform(shares.items, 9, key)[0].numpy().tolist())
print(seen["items"].numpy().tolist(), trains.numpy().tolist())
"""


def test_the_same_key_gives_the_same_draws_in_another_process(capsys: pytest.CaptureFixture[str]) -> None:
    there = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    exec(PROGRAM, {})
    assert there.stdout == capsys.readouterr().out != ""


def test_another_seed_epoch_step_worker_or_place_gives_other_draws() -> None:
    keys = [draws.key(*a) for a in ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (1, 1, 1, 1), (0, 0, 1, 1))]
    found = {draws.numbers([4], key, place).numpy().tobytes() for key in keys for place in (1, 2)}
    assert len(found) == 12


def test_keys_at_the_ends_of_their_ranges_are_distinct() -> None:
    ends = itertools.product((0, 2**31 - 1), (0, 2**31 - 1), (0, 2**32 - 1), (0, 2**20 - 1))
    streams = {draws.stream(draws.key(*end), p).numpy().tobytes() for end in ends for p in (0, 4095)}
    assert len(streams) == 32


@pytest.mark.parametrize("arguments", [(2**31, 0, 0), (0, -1, 0), (0, 0, 2**32), (0, 0, 0, 2**20)])
def test_an_argument_that_would_share_its_draws_is_refused(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="draws: .*expected 0 to below"):
        draws.key(*arguments)


def test_negatives_by_popularity_come_by_their_shares() -> None:
    items, log_q = draws.by_popularity(draws.shares(COUNTS, 1.0), NUM, draws.key(1, 1, 1))
    np.testing.assert_allclose(np.bincount(items, minlength=8) / NUM, COUNTS / 100, atol=0.004)
    np.testing.assert_allclose(log_q, np.log(COUNTS[items.numpy()] / 100), rtol=1e-6)


def test_the_power_flattens_popularity() -> None:
    items, log_q = draws.by_popularity(draws.shares(COUNTS, 1 / 3), NUM, draws.key(1, 1, 1))
    expected = np.array([0, 0, 2, 0, 1, 3, 0, 4]) / 10
    np.testing.assert_allclose(np.bincount(items, minlength=8) / NUM, expected, atol=0.004)
    np.testing.assert_allclose(np.exp(log_q), expected[items.numpy()], rtol=1e-6)


def test_uniform_negatives_are_each_as_likely_and_trained() -> None:
    items, log_q = draws.uniform(draws.trained(COUNTS), NUM, draws.key(1, 1, 1))
    np.testing.assert_allclose(np.bincount(items, minlength=8) / NUM, (COUNTS > 0) / 4, atol=0.004)
    np.testing.assert_allclose(log_q, np.log(1 / 4), rtol=1e-6)


def test_in_batch_shares_are_those_of_the_events() -> None:
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(draws.log_shares(COUNTS), np.log(COUNTS / 100), rtol=1e-6)


def test_every_one_of_ten_million_items_can_be_drawn() -> None:
    num_items, num = 10_000_000, 2_000_000
    shares = draws.shares(np.ones(num_items, np.int64), 0.75)
    np.testing.assert_allclose(np.diff(shares.cumulative), 1 / num_items, rtol=1e-6)
    assert shares.cumulative[-1] == 1
    items, _ = draws.by_popularity(shares, num, draws.key(1, 1, 1))
    distinct = num_items * (1 - np.exp(-num / num_items))  # 2 % fewer from points in float32
    assert len(np.unique(items)) == pytest.approx(distinct, rel=0.002)
