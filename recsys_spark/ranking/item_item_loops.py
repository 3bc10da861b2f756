"""The loops behind `item_item`, compiled; they trust their arguments, which `item_item` has checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_spark.compiled import compiled

Array = NDArray[Any]

_UNTOUCHED, _TOUCHED, _LEFT_OUT = 0, 1, 2


@compiled
def rank(
    user_starts: Array, items: Array, item_weights: Array, starts: Array, neighbours: Array, weights: Array,
    kind: Array, factors: Array, group: Array, left_starts: Array, left_out: Array,
    out_idx: Array, out_scores: Array, out_num: Array,
) -> None:  # fmt: skip
    """Fill each user's list, best first; what the arrays are stands at `item_item.top_n`.

    Args:
        left_starts: [B + 1]; what user b may not get lies at `left_starts[b] : left_starts[b + 1]` of `left_out`.
        out_idx, out_scores: [B, N], zeros before.
        out_num: [B].
    """
    num_known, most, is_dense = len(starts) - 1, out_idx.shape[1], len(neighbours) < len(weights)
    total = np.zeros(num_known)  # both are cleaned item by item after each user
    state = np.zeros(num_known, np.uint8)
    touched = np.empty(num_known, np.int64)
    for user in range(len(out_num)):
        num_touched, allowed = 0, factors[group[user]]
        for place in range(left_starts[user], left_starts[user + 1]):
            state[left_out[place]] = _LEFT_OUT
        for position in range(user_starts[user + 1] - 1, user_starts[user] - 1, -1):  # newest first
            item, factor = items[position], item_weights[position]
            if item <= 1 or item >= num_known:
                continue
            for place in range(starts[item], starts[item + 1]):
                other = place - starts[item] if is_dense else neighbours[place]
                if state[other] == _UNTOUCHED:
                    if allowed[kind[other]] == 0:
                        continue
                    state[other] = _TOUCHED
                    touched[num_touched] = other
                    num_touched += 1
                total[other] += factor * np.float64(weights[place])
        num = 0
        for other in touched[:num_touched]:
            score = total[other] * allowed[kind[other]]
            total[other], state[other] = 0.0, _UNTOUCHED
            if score <= 0 or most == 0:
                continue
            if num == most:
                worst, last = out_scores[user, num - 1], out_idx[user, num - 1]
                if score < worst or (score == worst and other > last):
                    continue
                num -= 1
            place = num  # move up past all that are worse
            while place > 0 and (
                out_scores[user, place - 1] < score
                or (out_scores[user, place - 1] == score and out_idx[user, place - 1] > other)
            ):
                out_idx[user, place], out_scores[user, place] = (
                    out_idx[user, place - 1],
                    out_scores[user, place - 1],
                )
                place -= 1
            out_idx[user, place], out_scores[user, place] = other, score
            num += 1
        out_num[user] = num
        for place in range(left_starts[user], left_starts[user + 1]):
            other = left_out[place]
            total[other], state[other] = 0.0, _UNTOUCHED


@compiled
def split(
    user_starts: Array, items: Array, item_weights: Array, starts: Array, neighbours: Array, weights: Array,
    is_distinct: bool, listed: Array, out_idx: Array, out_scores: Array,
) -> None:  # fmt: skip
    """Fill each listed item's parts, greatest first; what the arrays are stands at `item_item.contributions`.

    Args:
        is_distinct: whether no user has an item twice.
        listed: [B, N].
        out_idx, out_scores: [B, N, R], zeros before.
    """
    num_known, most, is_dense = len(starts) - 1, out_idx.shape[2], len(neighbours) < len(weights)
    of_item = item_weights.copy()  # what an item's events weigh together, at its newest event
    for user in range(len(listed)):
        first, last = user_starts[user], user_starts[user + 1] - 1
        if not is_distinct:
            for position in range(last, first - 1, -1):
                for newer in range(last, position, -1):
                    if items[newer] == items[position]:
                        of_item[newer] += of_item[position]
                        of_item[position] = 0.0
                        break
        for column in range(listed.shape[1]):
            other, num = listed[user, column], 0
            if other <= 0 or most == 0:
                continue
            for position in range(last, first - 1, -1):  # newest first
                item = items[position]
                if item <= 1 or item >= num_known:
                    continue
                if is_dense:
                    place = starts[item] + other
                else:
                    place = starts[item] + np.searchsorted(neighbours[starts[item] : starts[item + 1]], other)
                    if place == starts[item + 1] or neighbours[place] != other:
                        continue
                score = of_item[position] * np.float64(weights[place])
                if score <= 0 or (num == most and score <= out_scores[user, column, num - 1]):
                    continue
                at = num if num < most else num - 1
                while at > 0 and out_scores[user, column, at - 1] < score:
                    out_idx[user, column, at] = out_idx[user, column, at - 1]
                    out_scores[user, column, at] = out_scores[user, column, at - 1]
                    at -= 1
                out_idx[user, column, at], out_scores[user, column, at] = item, score
                num = min(num + 1, most)
