"""The form `blend` against sums worked out by hand and by brute force; no Spark, no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_spark.errors import BadDataError
from recsys_spark.forms import blend
from recsys_spark.forms import folder as folders
from recsys_spark.forms.blend import Blend, Blending
from recsys_spark.forms.form import Eligible, Size
from recsys_spark.forms.inner_product import directions
from recsys_spark.forms.item_item import ItemItem, Weighing
from recsys_spark.forms.vectors import Vectors
from recsys_spark.ranking import left_out
from recsys_spark.ranking.item_item import ItemWeights
from recsys_spark.ranking.merging import merge
from recsys_spark.ranking.top_n import Lists

V, POOL = 40, 12
RNG = np.random.default_rng(3)
ITEM_VECTORS = RNG.normal(size=(V, 6)).astype(np.float32)
TRAINED = np.arange(V) >= 2


def encode(users: Any) -> np.ndarray:
    vectors = (ITEM_VECTORS[users["items"]] * (users["items"] > 1)[:, :, None]).sum(axis=1)
    vectors[:, -1] = 1
    return vectors.astype(np.float32)


def item_item(seed: int, num_values: int = 3, is_trained: np.ndarray = TRAINED) -> ItemItem:
    """Weights that are few powers of two: scores tie, and sums are exact."""
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((V, V)) < 0.6, 2.0 ** -rng.integers(num_values, size=(V, V)), 0)
    matrix = ItemWeights(np.arange(V + 1) * V, np.zeros(0, np.int32), weights.reshape(-1))
    return ItemItem(matrix, is_trained, Weighing("rank", 0.5))


def vectors(is_trained: np.ndarray = TRAINED) -> Vectors:
    return Vectors(encode, ITEM_VECTORS, directions(ITEM_VECTORS), is_trained)


def as_rows(ranked: Lists) -> list[list[tuple[int, float]]]:
    assert not ranked.item_idx[np.arange(ranked.item_idx.shape[1]) >= ranked.num_items[:, None]].any()
    return [
        [(int(item), float(score)) for item, score in zip(items[:num], scores[:num], strict=True)]
        for items, scores, num in zip(ranked.item_idx, ranked.scores, ranked.num_items, strict=True)
    ]


@pytest.fixture
def users() -> dict[str, np.ndarray]:
    items = RNG.choice(np.r_[1, np.arange(2, V)], (9, 5))
    items[np.arange(5) < RNG.integers(4, size=9)[:, None]] = 0
    return {"items": items}


KIND = np.where(TRAINED, RNG.integers(1, 4, V), 0).astype(np.int32)
ELIGIBLE = Eligible(KIND, np.array([[0, 1, 1, 0], [0, 0.5, 3, 1]], float))
GROUP = np.array([0, 1, 0, 1, 1, 0, 0, 1, 0])


def drop(rows: list[set[int]]) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(row, item) for row, items in enumerate(rows) for item in sorted(items)]
    return np.array([row for row, _ in pairs], int), np.array([item for _, item in pairs], int)


def brute_force(
    members: Any, blending: Blending, users: Any, seen: list[set[int]]
) -> list[list[tuple[int, float]]]:
    """Each member's own list of POOL items, and the sum of the points by a dictionary."""
    merged: list[dict[int, float]] = [{} for _ in seen]
    for member, weight in zip(members, blending.weights, strict=True):
        own = ELIGIBLE._replace(kind=np.where(member.is_trained, KIND, 0).astype(np.int32))
        pools = as_rows(member.ranking(own)(users)(np.arange(len(seen)), GROUP, POOL, drop(seen)))
        for user, pool in enumerate(pools if weight else []):
            least, most = (pool[-1][1], pool[0][1]) if pool else (0.0, 0.0)
            for rank, (item, score) in enumerate(pool, 1):
                share = 1.0 if most == least else (score - least) / (most - least)
                points = 1 / (60 + rank) if blending.by == "ranks" else share
                merged[user][item] = merged[user].get(item, 0.0) + weight * points
    return [sorted(points.items(), key=lambda pair: (-pair[1], pair[0])) for points in merged]


def same(got: list[list[tuple[int, float]]], expected: list[list[tuple[int, float]]]) -> None:
    assert [[item for item, _ in row] for row in got] == [[item for item, _ in row] for row in expected]
    for one, other in zip(got, expected, strict=True):
        assert [score for _, score in one] == pytest.approx([score for _, score in other], abs=1e-12)


@pytest.mark.parametrize("by", ["ranks", "scores"])
def test_lists_are_the_walk_through_the_merged_rankings_also_when_more_is_asked_and_taken_away(
    by: str, users: dict[str, np.ndarray]
) -> None:
    members = item_item(1), vectors(TRAINED & (np.arange(V) % 5 > 0)), item_item(2, num_values=1)
    blending = Blending(by, (1.0, 0.7, 0.3), POOL)
    seen = [set(RNG.choice(np.arange(2, V), 6, replace=False).tolist()) for _ in GROUP]
    whole = brute_force(members, blending, users, seen)
    rank, rows = Blend(members, blending).ranking(ELIGIBLE)(users), np.arange(len(GROUP))
    same(as_rows(rank(rows, GROUP, 8, drop(seen))), [row[:8] for row in whole])
    some = np.array([7, 1, 4])
    taken = [{item for item, _ in whole[row][1:6:2]} | seen[row] for row in some]
    more = [
        [pair for pair in whole[row] if pair[0] not in without]
        for row, without in zip(some, taken, strict=True)
    ]
    same(as_rows(rank(some, GROUP[some], 3 * POOL, drop(taken))), more)


def test_company_and_the_order_of_calls_change_no_list(users: dict[str, np.ndarray]) -> None:
    form, rows = Blend((item_item(1), vectors()), Blending("scores", (1.0, 1.0), POOL)), np.arange(9)
    whole = as_rows(form.ranking(ELIGIBLE)(users)(rows, GROUP, 6, None))
    rank = form.ranking(ELIGIBLE)(users)
    for row in rows[::-1]:
        assert as_rows(rank(rows[[row]], GROUP[[row]], 6, None)) == [whole[row]]
        alone = form.ranking(ELIGIBLE)({"items": users["items"][[row]]})
        assert as_rows(alone(np.array([0]), GROUP[[row]], 6, None)) == [whole[row]]


def test_items_that_any_member_was_trained_on_are_candidates() -> None:
    members = item_item(1, is_trained=np.arange(V) == 5), vectors(np.arange(V - 3) == 9)
    assert np.flatnonzero(Blend(members, Blending("ranks", (1.0, 1.0), 3)).is_trained).tolist() == [5, 9]


def test_where_scores_are_blended_reasons_are_the_members_weighed_like_their_scores(
    users: dict[str, np.ndarray],
) -> None:
    members = item_item(1), item_item(2)
    blending = Blending("scores", (1.0, 0.5), POOL)
    form, rows = Blend(members, blending), np.arange(9)
    ranked = form.ranking(ELIGIBLE)(users)(rows, GROUP, 4, None)
    reasons = form.explaining(ELIGIBLE, 5, False)(users, GROUP, left_out.NONE, ranked)
    expected: dict[tuple[int, int], dict[int, float]] = {}
    for member, weight in zip(members, blending.weights, strict=True):
        pool = member.ranking(ELIGIBLE)(users)(rows, GROUP, POOL, None)
        parts = member.explaining(ELIGIBLE, 5, False)(users, GROUP, left_out.NONE, ranked)
        for user in rows:
            scores = pool.scores[user, : pool.num_items[user]]
            spread = (scores.max() - scores.min()) if len(scores) else 0
            for place, item in enumerate(ranked.item_idx[user]):
                if item and spread and item in pool.item_idx[user]:
                    of_place = expected.setdefault((user, place), {})
                    for of_item, part in zip(
                        parts.item_idx[user, place], parts.scores[user, place], strict=True
                    ):
                        if part:
                            of_place[of_item] = of_place.get(of_item, 0) + weight * part / spread
    assert sum(map(len, expected.values())) > 40
    for (user, place), of_items in expected.items():
        best = sorted(of_items.items(), key=lambda pair: (-pair[1], pair[0]))
        num = len(best)
        assert reasons.item_idx[user, place].tolist() == [item for item, _ in best] + [0] * (5 - num)
        assert reasons.scores[user, place, :num] == pytest.approx([score for _, score in best])


def test_where_ranks_are_blended_or_no_member_says_why_there_are_no_reasons() -> None:
    by_ranks = Blend((item_item(1), item_item(2)), Blending("ranks", (1.0, 1.0), POOL))
    assert by_ranks.explaining(ELIGIBLE, 2, True) is None
    costly = Blend((vectors(), vectors()), Blending("scores", (1.0, 1.0), POOL))
    assert costly.explaining(ELIGIBLE, 2, False) is None
    assert costly.explaining(ELIGIBLE, 2, True) is not None


def test_similar_items_are_the_members_merged() -> None:
    members, blending = (item_item(1), vectors()), Blending("ranks", (1.0, 2.0), POOL)
    asked = np.array([4, 9, 30])
    pools = [member.similar(ELIGIBLE)(asked, POOL) for member in members]
    got = as_rows(Blend(members, blending).similar(ELIGIBLE)(asked, 5))
    assert got == [row[:5] for row in as_rows(merge(pools, blending.weights, blending.by))]
    assert all(item not in [other for other, _ in row] for item, row in zip(asked, got, strict=True))


def save(folder: Path, **other: Any) -> dict[str, str]:
    blending = Blending("ranks", (1.0, 0.25), POOL)._replace(**other)
    return blend.save(folder, blending, {"ease": "e" * 64, "transitions": "t" * 64}, TRAINED)


def test_what_is_loaded_is_what_was_saved(tmp_path: Path) -> None:
    folders.verify(tmp_path, save(tmp_path))
    members = item_item(1), item_item(2)
    assert blend.load(tmp_path, members) == Blend(members, Blending("ranks", (1.0, 0.25), POOL))
    np.testing.assert_array_equal(folders.load_trained_items(tmp_path), TRAINED)
    (tmp_path / folders.SETTINGS).write_text("{")
    with pytest.raises(BadDataError, match="cannot be read"):
        blend.load(tmp_path, members)


def test_the_version_covers_how_members_are_merged_and_which_they_are(tmp_path: Path) -> None:
    same = folders.version_of(save(tmp_path / "one"))
    assert folders.version_of(save(tmp_path / "two")) == same
    others = [
        save(tmp_path / "three", by="scores"),
        save(tmp_path / "four", weights=(1.0, 0.5)),
        save(tmp_path / "five", pool_items=9),
        blend.save(
            tmp_path / "six", Blending("ranks", (1.0, 0.25), POOL), {"ease": "x", "transitions": "t"}, TRAINED
        ),
    ]
    assert len({same, *map(folders.version_of, others)}) == 5


def test_what_members_nominate_is_counted(tmp_path: Path) -> None:
    save(tmp_path)
    size = Size(256, 20, 256 * 20, 50)
    assert blend.needs(tmp_path, size).ranking >= 256 * 2 * POOL * 16
    assert (
        blend.needs(tmp_path, size._replace(batch_users=512)).ranking
        == 2 * blend.needs(tmp_path, size).ranking
    )
