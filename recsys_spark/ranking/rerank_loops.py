"""The loops behind `rerank`, compiled; they trust their arguments, which `rerank` has checked.

A pool is `items` and `scores` [B, P] and `num_in` [B]; lists are `out_idx` and `out_scores` [B, N], zeros
before, and `out_num` [B]. The categories of an item lie at `starts[item] : starts[item + 1]` of `codes`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.compiled import compiled

Array = NDArray[Any]

_NOTHING = 1e-300  # a smaller share is worth nothing, and its reciprocal may be infinite


@compiled
def mmr(
    items: Array, scores: Array, num_in: Array, starts: Array, codes: Array, num_categories: int, trade_off: float,
    out_idx: Array, out_scores: Array, out_num: Array,
) -> None:  # fmt: skip
    """Fill each user's list; what it holds stands at `rerank.mmr`.

    A longer list can only make an item less welcome. So an item whose marginal was already too low with the
    items listed at the time is not compared with those listed since.
    """
    is_own = np.zeros(num_categories, np.int64)  # cleaned after each item
    for user in range(len(items)):
        num = num_in[user]
        begins, of_items = _categories(items[user, :num], starts, codes)
        value = (1.0 - trade_off) * _relevance(scores[user, :num])
        marginal = value.copy()
        num_compared, ranked = np.zeros(num, np.int64), np.empty(num, np.int64)
        is_free = np.ones(num, np.bool_)
        for rank in range(min(num, out_idx.shape[1])):
            best, best_value = -1, 0.0
            for place in range(num):
                if not is_free[place] or (best >= 0 and marginal[place] <= best_value):
                    continue
                begin, end, at = begins[place], begins[place + 1], num_compared[place]
                for code in of_items[begin:end]:
                    is_own[code] = 1
                while at < rank and (best < 0 or marginal[place] > best_value):
                    first, last = begins[ranked[at]], begins[ranked[at] + 1]
                    shared = 0
                    for code in of_items[first:last]:
                        shared += is_own[code]
                    if shared:
                        cosine = shared / np.sqrt((end - begin) * (last - first))
                        marginal[place] = min(marginal[place], value[place] - trade_off * cosine)
                    at += 1
                for code in of_items[begin:end]:
                    is_own[code] = 0
                num_compared[place] = at
                if best < 0 or marginal[place] > best_value:
                    best, best_value = place, marginal[place]
            _put(user, rank, items[user, best], scores[user, best], out_idx, out_scores)
            ranked[rank], is_free[best] = best, False
        out_num[user] = min(num, out_idx.shape[1])


@compiled
def calibrated(
    items: Array, scores: Array, num_in: Array, starts: Array, codes: Array, target: Array, smoothing: float,
    trade_off: float, out_idx: Array, out_scores: Array, out_num: Array,
) -> None:  # fmt: skip
    """Fill each user's list; what it holds stands at `rerank.calibrated`.

    With n items that have categories listed, Q their summed weights and a the smoothing, an item of weight w
    in each of its categories g takes sum over g of p_g log(1 + (1 - a) w / ((1 - a) Q_g + a p_g (n + 1))) off
    the divergence that n + 1 items and unchanged Q would have; an item without category takes off what that
    divergence lies above the present one. The first only falls as the list grows, so an item that was too low
    before is not looked at; and it is taken once for each pair of category and w.

    Args:
        target: [B, C].
    """
    listed = np.empty(target.shape[1])  # Q
    widest = 0  # categories of an item; the pair of a category and w = 1 / size is category x step + size
    for user in range(len(items)):
        for item in items[user, : num_in[user]]:
            widest = max(widest, starts[item + 1] - starts[item])
    step = widest + 1
    gains, taken_at = np.empty(len(listed) * step), np.full(len(listed) * step, -1)  # cleaned after each user
    for user in range(len(items)):
        num = num_in[user]
        begins, pairs = _categories(items[user, :num], starts, codes)
        for place in range(num):
            for at in range(begins[place], begins[place + 1]):
                pairs[at] = pairs[at] * step + begins[place + 1] - begins[place]
        value = (1.0 - trade_off) * _relevance(scores[user, :num])
        marginal = np.full(num, np.inf)
        is_free = np.ones(num, np.bool_)
        listed[:] = 0.0
        num_mixed = 0  # n
        for rank in range(min(num, out_idx.shape[1])):
            bare_gain = -1.0  # not taken yet
            best, best_value = -1, 0.0
            for place in range(num):
                if not is_free[place] or (best >= 0 and marginal[place] <= best_value):
                    continue
                gain = 0.0
                for pair in pairs[begins[place] : begins[place + 1]]:
                    if taken_at[pair] != rank:
                        taken_at[pair] = rank
                        gains[pair] = _gain(
                            target[user], listed, num_mixed, smoothing, pair // step, pair % step
                        )
                    gain += gains[pair]
                is_bare = begins[place] == begins[place + 1]
                if is_bare:
                    if bare_gain < 0:
                        bare_gain = _bare_gain(target[user], listed, num_mixed, smoothing)
                    gain = bare_gain
                new = value[place] + trade_off * gain
                marginal[place] = np.inf if is_bare else new  # a gain without category may rise
                if best < 0 or new > best_value:
                    best, best_value = place, new
            _put(user, rank, items[user, best], scores[user, best], out_idx, out_scores)
            is_free[best] = False
            for pair in pairs[begins[best] : begins[best + 1]]:
                listed[pair // step] += 1.0 / (pair % step)
            num_mixed += begins[best] < begins[best + 1]
        out_num[user] = min(num, out_idx.shape[1])
        for pair in pairs:
            taken_at[pair] = -1


@compiled
def _gain(target: Array, listed: Array, num_mixed: int, smoothing: float, code: int, size: int) -> float:
    wish = target[code]
    if wish < _NOTHING:
        return 0.0
    below = (1.0 - smoothing) * listed[code] + smoothing * wish * (num_mixed + 1)
    return float(wish * np.log1p((1.0 - smoothing) / size / below))


@compiled
def _bare_gain(target: Array, listed: Array, num_mixed: int, smoothing: float) -> float:
    gain = 0.0
    for code in range(len(target)):
        wish, mass = target[code], (1.0 - smoothing) * listed[code]
        if wish > 0 and mass > 0:
            now, then = mass / num_mixed + smoothing * wish, mass / (num_mixed + 1) + smoothing * wish
            gain += wish * np.log(now / then)
    return gain


@compiled
def mix(history: Array, history_weights: Array, starts: Array, codes: Array, out: Array) -> None:
    """Fill `out` [B, C], zeros before; what the arrays are stands at `rerank.user_mix`."""
    for user in range(len(history)):
        for position in range(history.shape[1]):
            item = history[user, position]
            if item <= 1 or item >= len(starts) - 1:
                continue
            of_items = codes[starts[item] : starts[item + 1]]
            for code in of_items:
                out[user, code] += history_weights[user, position] / len(of_items)
        total = 0.0
        for weight in out[user]:
            total += weight
        if total > 0:
            out[user] /= total


@compiled
def _categories(items: Array, starts: Array, codes: Array) -> tuple[Array, Array]:
    """The categories of a pool's items, next to each other: those of place i at `begins[i] : begins[i + 1]`."""
    begins = np.zeros(len(items) + 1, np.int64)
    for place in range(len(items)):
        item = items[place]
        begins[place + 1] = begins[place] + starts[item + 1] - starts[item]
    of_items = np.empty(begins[-1], np.int64)
    for place in range(len(items)):
        of_items[begins[place] : begins[place + 1]] = codes[starts[items[place]] : starts[items[place] + 1]]
    return begins, of_items


@compiled
def _relevance(scores: Array) -> Array:
    """The scores moved to 0..1; all 0 when they are equal."""
    relevance = np.zeros(len(scores))
    if len(scores):
        low = scores.min()
        span = scores.max() - low
        if span > 0:
            relevance[:] = (scores - low) / span
    return relevance


@compiled
def _put(user: int, rank: int, item: int, score: float, out_idx: Array, out_scores: Array) -> None:
    """List an item, with no greater score than the one above it."""
    out_idx[user, rank] = item
    out_scores[user, rank] = min(score, out_scores[user, rank - 1]) if rank else score
