"""Confidence intervals by resampling users in blocks; NumPy on sums that Spark made exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column
from pyspark.sql import functions as F

MAX_BLOCKS = 2000

Values = NDArray[np.float64]


def block(user: str, num_users: int) -> Column:
    """The block of each user: its own below `MAX_BLOCKS` users, else one of that many, by hash."""
    hashed = F.xxhash64(user)
    return hashed if num_users < MAX_BLOCKS else F.pmod(hashed, F.lit(MAX_BLOCKS))


def resamples(num_blocks: int, num_samples: int, seed: int) -> Values:
    """How often each block is drawn [S, blocks]: as many draws as blocks, with replacement."""
    drawn = np.random.default_rng(seed).integers(0, max(num_blocks, 1), size=(num_samples, num_blocks))
    numbers = drawn + np.arange(num_samples)[:, None] * num_blocks
    counts = np.bincount(numbers.ravel(), minlength=num_samples * num_blocks)
    return counts.reshape(num_samples, num_blocks).astype(np.float64)


def means(drawn: Values, sums: Values, counts: Values) -> Values:
    """The mean in each resample [S, M] of M metrics, from their block sums [blocks, M] and users [blocks].

    NaN where no user was drawn. Not a BLAS product: its bits would depend on the number of threads.
    """
    users = np.einsum("sb,b->s", drawn, counts)
    totals = np.einsum("sb,bm->sm", drawn, sums)
    return np.asarray(
        np.divide(totals, users[:, None], out=np.full_like(totals, np.nan), where=users[:, None] > 0)
    )


def interval(samples: NDArray[Any]) -> tuple[float, float] | tuple[None, None]:
    """The 2.5 % and 97.5 % quantiles of one metric's resampled means; none when nothing was drawn."""
    drawn = samples[~np.isnan(samples)]
    if not len(drawn):
        return None, None
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)
