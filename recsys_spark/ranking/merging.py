"""Rankings of several members merged into one. NumPy only.

Each member nominates P items of each user. An item's score is the sum over the members of weight x what the member
gives it, and nothing of a member that does not nominate it:

    ranks    1 / (60 + rank)
    scores   (score - least) / (greatest - least), of the P nominated; 1 where all are equal

Source: Cormack, Clarke and Buettcher 2009, "Reciprocal Rank Fusion", and Fox and Shaw 1994, "Combination of Multiple
Searches" (CombSUM). Differs: members have weights, and nominate P items each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.ranking.top_n import Lists, is_filled

RANK_OFFSET = 60

Array = NDArray[Any]


def merge(pools: Sequence[Lists], weights: Sequence[float], by: str) -> Lists:
    """What members nominated, [B, P] each, as one ranking [B, members x P] by score descending, ties by item_idx.

    Args:
        weights: of the members; one of 0 nominates nothing.
        by: ranks | scores.
    """
    weighted = list(zip(pools, weights, strict=True))
    items = [pool.item_idx if weight > 0 else np.zeros_like(pool.item_idx) for pool, weight in weighted]
    points = [weight * _points(pool, by) for pool, weight in weighted]
    return summed(np.concatenate(items, axis=1), np.concatenate(points, axis=1))


def summed(item_idx: Array, scores: Array) -> Lists:
    """[R, W] items, some of them several times, once each with the sum of their scores, best first; 0 pads.

    Scores of an item are added in the order in which they stand.
    """
    if not item_idx.size:
        return Lists(item_idx, scores, np.zeros(len(item_idx), np.int64))
    order = np.argsort(item_idx, axis=1, kind="stable")
    item_idx, scores = (np.take_along_axis(values, order, axis=1) for values in (item_idx, scores))
    is_first = np.ones(item_idx.shape, np.bool_)
    is_first[:, 1:] = item_idx[:, 1:] != item_idx[:, :-1]
    totals = np.zeros(item_idx.shape)
    totals[is_first] = np.add.reduceat(scores.reshape(-1), np.flatnonzero(is_first))
    is_item = is_first & (item_idx > 0)
    order = np.lexsort((item_idx, -totals, ~is_item), axis=1)
    item_idx, totals = (
        np.take_along_axis(np.where(is_item, values, 0), order, axis=1) for values in (item_idx, totals)
    )
    return Lists(item_idx, totals, is_item.sum(axis=1))


def first(lists: Lists, num_items: int) -> Lists:
    """The first so many of each list."""
    missing = max(0, num_items - lists.item_idx.shape[1])
    item_idx, scores = (
        np.pad(values, ((0, 0), (0, missing)))[:, :num_items] for values in (lists.item_idx, lists.scores)
    )
    return Lists(item_idx, scores, np.minimum(lists.num_items, num_items))


def put(lists: Lists, rows: Array, best: Lists) -> None:
    """Set the lists of some rows, in place."""
    lists.item_idx[rows], lists.scores[rows], lists.num_items[rows] = (
        best.item_idx,
        best.scores,
        best.num_items,
    )


def spread(pool: Lists) -> Array:
    """[B], greatest less least score; infinite where both are equal."""
    between = pool.scores[:, 0] - _least(pool)
    return np.where(between > 0, between, np.inf)


def _least(pool: Lists) -> Array:
    """[B], the score of the last item that is there."""
    return np.asarray(pool.scores[np.arange(len(pool.scores)), np.maximum(pool.num_items - 1, 0)])


def _points(pool: Lists, by: str) -> Array:
    """[B, P], what a member gives the items that it nominates."""
    if by == "ranks":
        points = np.broadcast_to(
            1.0 / (RANK_OFFSET + 1 + np.arange(pool.item_idx.shape[1])), pool.item_idx.shape
        )
    else:
        between = spread(pool)[:, None]
        points = np.where(np.isinf(between), 1.0, (pool.scores - _least(pool)[:, None]) / between)
    return np.where(is_filled(pool), points, 0.0)


def put_behind(lists: Lists, tail: Lists) -> None:
    """Put each tail behind its row's list, in place.

    Behind other items each score is one below the score before it: they have another scale.
    """
    if not tail.num_items.any():
        return
    rows, step = np.nonzero(is_filled(tail))
    place = lists.num_items[rows] + step
    last = lists.scores[rows, np.maximum(lists.num_items[rows] - 1, 0)]
    is_tail = lists.num_items[rows] > 0
    lists.item_idx[rows, place] = tail.item_idx[rows, step]
    lists.scores[rows, place] = np.where(is_tail, last - (step + 1), tail.scores[rows, step])
    lists.num_items[:] += tail.num_items
