"""Shoppers, members of a blend and what its lists must be, worked out item by item in plain Python."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from hand_made import LENGTH, VECTORS, V, encode

from recsys_spark.forms.blend import Blending
from recsys_spark.forms.inner_product import directions
from recsys_spark.forms.item_item import ItemItem, Weighing
from recsys_spark.forms.vectors import Vectors
from recsys_spark.ranking.item_item import ItemWeights

N, DECAY = 6, 0.5
CATEGORIES = {item: [f"kind {item % 3}"] for item in range(2, V) if item % 7}
ONLY_FR, UNAVAILABLE, POPULAR = {5: ["FR"], 6: ["FR"], 12: ["FR"]}, (4, 9), (3, 8, 11, 12, 20, 4, 29, 7, 26)
BOOSTS = {"kind 1": 2.0}


class User(NamedTuple):
    history: list[int]
    seen: list[int]
    segment: str
    is_control: bool = False


def shoppers() -> list[User]:
    rng = np.random.default_rng(8)
    out = []
    for number in range(14):
        history = rng.choice(np.arange(1, V), rng.integers(1, LENGTH + 1)).tolist()
        seen = sorted({*history, *rng.choice(np.arange(2, V), 4).tolist()} - {1})
        out.append(User(history, seen, "FR" if number % 3 else ""))
    return out


SHOPPERS = shoppers()


def item_item(seed: int, num_items: int = V) -> ItemItem:
    """Dense or sparse rows; weights are few powers of two, so scores tie and sums are exact."""
    rng = np.random.default_rng(seed)
    weights = np.where(
        rng.random((num_items, num_items)) < 0.3, 2.0 ** -rng.integers(3, size=(num_items, num_items)), 0
    )
    weights[:, :2] = 0
    is_trained = (np.arange(num_items) >= 2) & (np.arange(num_items) % 11 > 0)
    if seed % 2:
        matrix = ItemWeights(np.arange(num_items + 1) * num_items, np.zeros(0, np.int32), weights.reshape(-1))
    else:
        rows, columns = np.nonzero(weights)
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=num_items))])
        matrix = ItemWeights(starts, columns.astype(np.int32), weights[rows, columns])
    return ItemItem(matrix, is_trained, Weighing("rank", DECAY))


def vectors() -> Vectors:
    return Vectors(encode, VECTORS, directions(VECTORS), (np.arange(V) >= 2) & (np.arange(V) % 13 > 0))


MEMBERS = (item_item(1), vectors(), item_item(2, num_items=21))


def dense(member: ItemItem) -> np.ndarray:
    num = len(member.is_trained)
    if not len(member.matrix.neighbours):
        return member.matrix.weights.reshape(num, num)
    out = np.zeros((num, num))
    for item in range(num):
        row = slice(member.matrix.starts[item], member.matrix.starts[item + 1])
        out[item, member.matrix.neighbours[row]] = member.matrix.weights[row]
    return out


DENSE = {number: dense(MEMBERS[number]) for number in (0, 2)}


def factor(item: int) -> float:
    return BOOSTS.get(CATEGORIES.get(item, [""])[0], 1.0)


def parts(number: int, user: User, item: int) -> dict[int, float]:
    """What each item of the history adds to a score."""
    added: dict[int, float] = {}
    for rank, event in enumerate(reversed(user.history)):
        if 2 <= event < len(DENSE[number]):
            part = DECAY**rank * DENSE[number][event, item] * factor(item)
            added[event] = added.get(event, 0.0) + part
    return added


def may_get(user: User) -> set[int]:
    closed = {item for item, segments in ONLY_FR.items() if user.segment not in segments}
    return set(range(2, V)) - {*UNAVAILABLE, *user.seen, *closed}


@functools.cache
def ranking(number: int, user_number: int) -> list[tuple[int, float]]:
    """All that a member ranks for a user, by the definition of its form."""
    member, user = MEMBERS[number], SHOPPERS[user_number]
    points: dict[int, float] = {}
    history = np.array([[0] * (LENGTH - len(user.history)) + user.history])
    for item in sorted(may_get(user)):
        if item >= len(member.is_trained) or not member.is_trained[item]:
            continue
        if isinstance(member, Vectors):
            vector = encode({"items": history})[0].astype(np.float64)
            points[item] = float(vector @ VECTORS[item].astype(np.float64)) + math.log(factor(item))
        elif (score := sum(parts(number, user, item).values())) > 0:
            points[item] = score
    return sorted(points.items(), key=lambda pair: (-pair[1], pair[0]))


def nominated(number: int, user: User, pool_items: int) -> list[tuple[int, float]]:
    return ranking(number, SHOPPERS.index(user))[:pool_items]


def spread(pool: list[tuple[int, float]]) -> float:
    return pool[0][1] - pool[-1][1] if pool else 0.0


def merged(user: User, blending: Blending) -> list[tuple[int, float]]:
    total: dict[int, float] = {}
    if max(user.history) < 2:  # nothing that a model knows
        return []
    for number, weight in enumerate(blending.weights):
        pool = nominated(number, user, blending.pool_items) if weight else []
        for rank, (item, score) in enumerate(pool, 1):
            share = (score - pool[-1][1]) / spread(pool) if spread(pool) else 1.0
            total[item] = total.get(item, 0.0) + weight * (
                1 / (60 + rank) if blending.by == "ranks" else share
            )
    return sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))


def expected(
    user: User, blending: Blending, max_per_category: int
) -> tuple[list[tuple[int, float]], list[int]]:
    """What the model places with its scores, and all that is listed: the merged ranking, then popularity, in caps."""
    of_model: list[tuple[int, float]] = []
    in_list: list[int] = []

    def fits(item: int) -> bool:
        kinds = [CATEGORIES.get(other) for other in in_list]
        return (
            not max_per_category or item not in CATEGORIES or kinds.count(CATEGORIES[item]) < max_per_category
        )

    for item, score in merged(user, blending):
        if len(in_list) < N and fits(item):
            of_model.append((item, score))
            in_list.append(item)
    for item in sorted(
        set(POPULAR) & may_get(user), key=lambda item: (-(1000.0 - item) * factor(item), item)
    ):
        if len(in_list) < N and item not in in_list and fits(item):
            in_list.append(item)
    return of_model, in_list
