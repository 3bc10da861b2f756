"""Give up some relevance for a list that is more diverse, or closer to what a user's taste is made of.

Both take the first P of a user's ranking and choose N of them one after another, so the first n of a list are
the list of n. Relevance is the score moved to 0..1 by the least and greatest of the user's own pool (0 for
all when they are equal): a trade-off means the same for every model, but a longer pool changes the list. What
a user gets depends on the own pool alone, in whatever batch. Ties: what stood first in the pool. A pool of
fewer than N is re-ordered whole.

A list's scores are the model's as long as they fall; one that would rise is lowered to the score before it,
since ranks go by score and a position must not be undone by who sorts again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking import pools
from recsys_spark.ranking import rerank_loops as loops
from recsys_spark.ranking.beyond_accuracy import Categories
from recsys_spark.ranking.top_n import Lists, empty_lists

Array = NDArray[Any]

_SMOOTHING = 0.01  # Steck's alpha: how much of the target is mixed in, so that the divergence is finite
_ROUNDING = 1e-9


def mmr(pool: Lists, categories: Categories, trade_off: float, num_items: int) -> Lists:
    """Maximal marginal relevance: each next item is relevant and unlike those above it.

    It has the greatest (1 - t) relevance - t x its greatest cosine with an item above it, of their category
    indicators as in `diversity_at_k`: an item without category is unlike every other.
    Source: Carbonell and Goldstein 1998, with lambda = 1 - t.

    Args:
        pool: by score descending.
        trade_off: t, 0 (the pool's order) to 1 (diversity alone).

    Raises:
        ValueError: the trade-off is not in 0..1, or pool and categories do not fit, such as an item beyond V.
    """
    starts, codes, items, scores, num = _arguments(pool, categories, trade_off)
    lists = empty_lists(len(items), num_items)
    loops.mmr(
        items, scores, num, starts, codes, categories.num, float(trade_off),
        lists.item_idx, lists.scores, lists.num_items,
    )  # fmt: skip
    return lists


def calibrated(pool: Lists, categories: Categories, target: Array, trade_off: float, num_items: int) -> Lists:
    """A list whose categories are mixed as the user's target is.

    Each next item has the greatest (1 - t) sum of relevance - t KL(p || q~) of the list with it; p is the
    target, q the mean over listed items of their categories, each item's one weight spread evenly over its
    own, and q~ = 0.99 q + 0.01 p. An item without category leaves q as it is; q is 0 before the first that has.
    Source: Steck 2018, Calibrated recommendations, equations 3 to 7, with w = 1 and natural logarithms.

    Args:
        pool: by score descending.
        target: [B, C], a row sums to 1; all zeros: the user has none, and the pool's order stays.
        trade_off: t, 0 (the pool's order) to 1 (the mix alone).

    Raises:
        ValueError: the trade-off is not in 0..1, a target is neither a mix nor zeros, or pool and categories
            do not fit, such as an item beyond V.
    """
    starts, codes, items, scores, num = _arguments(pool, categories, trade_off)
    if target.shape != (len(items), categories.num):
        raise ValueError(f"target: expected {(len(items), categories.num)}, got {target.shape}")
    sums = target.sum(axis=1)
    if not (target >= 0).all() or not ((sums == 0) | (np.abs(sums - 1) <= _ROUNDING)).all():
        raise ValueError("target: a row is neither a mix that sums to 1 nor all zeros")
    lists = empty_lists(len(items), num_items)
    loops.calibrated(
        items, scores, num, starts, codes, pools.fixed(target, np.float64), _SMOOTHING, float(trade_off),
        lists.item_idx, lists.scores, lists.num_items,
    )  # fmt: skip
    return lists


def user_mix(history: Array, history_weights: Array, categories: Categories) -> NDArray[np.float64]:
    """The mix of categories [B, C] of each history: a row sums to 1, or is 0 when no category is known.

    Each event spreads its weight evenly over the categories of its item.
    Source: Steck 2018, equation 2.

    Args:
        history: int [B, L] item_idx; 0 pads, 1 and items of V or above have no category.
        history_weights: [B, L], not negative.

    Raises:
        ValueError: shapes differ, or a weight is negative or not finite.
    """
    if history.shape != history_weights.shape:
        raise ValueError(f"history {history.shape} and its weights {history_weights.shape} differ in shape")
    if not np.isfinite(history_weights).all() or history_weights.min(initial=0) < 0:
        raise ValueError("a history weight is negative or not finite")
    mix = np.zeros((len(history), categories.num))
    loops.mix(
        pools.fixed(history, np.int64), pools.fixed(history_weights, np.float64),
        pools.fixed(categories.starts, np.int64), pools.fixed(categories.codes, np.int32), mix,
    )  # fmt: skip
    return mix


def _arguments(pool: Lists, categories: Categories, trade_off: float) -> tuple[Array, ...]:
    if not 0 <= trade_off <= 1:
        raise ValueError(f"trade-off: expected 0 to 1, got {trade_off}")
    starts, codes, num = categories
    if starts[-1] != len(codes) or (len(codes) and not 0 <= codes.min() <= codes.max() < num):
        raise ValueError(f"categories: starts, codes and their number {num} do not fit each other")
    return (
        pools.fixed(starts, np.int64),
        pools.fixed(codes, np.int32),
        *pools.checked(pool, len(starts) - 1),
    )
