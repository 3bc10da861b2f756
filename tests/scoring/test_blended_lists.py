"""Lists of a blend, by the ranker, against the definition worked out item by item in plain Python."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from blended_by_hand import (
    BOOSTS,
    CATEGORIES,
    MEMBERS,
    ONLY_FR,
    POPULAR,
    SHOPPERS,
    UNAVAILABLE,
    N,
    expected,
    nominated,
    parts,
    spread,
)
from hand_made import filled_by, items, listed, ranker, scores, users

from recsys_spark.forms.blend import Blend, Blending
from recsys_spark.scoring.loaded_models import LoadedModel
from recsys_spark.scoring.rules import Rules


def ranked(
    blending: Blending, max_per_category: int = 0, batch: pa.RecordBatch | None = None, **settings: Any
) -> Any:
    rules = Rules(boosts=BOOSTS, max_per_category=max_per_category)
    shop = items(unavailable=UNAVAILABLE, popular=POPULAR, categories=CATEGORIES, only=ONLY_FR, rules=rules)
    model = LoadedModel("blend", "v1", Blend(MEMBERS, blending))
    return ranker(shop, model, N, **settings).lists(batch or users(*SHOPPERS))


@pytest.mark.parametrize("max_per_category", [0, 1, 2])
@pytest.mark.parametrize("pool_items", [2, 7, 100])
@pytest.mark.parametrize("weights", [(1.0, 0.7, 0.3), (1.0, 0.0, 1.0), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("by", ["ranks", "scores"])
def test_lists_are_the_walk_through_the_merged_ranking_and_popularity_fills_the_rest(
    by: str, weights: tuple[float, ...], pool_items: int, max_per_category: int
) -> None:
    blending = Blending(by, weights, pool_items)
    got = ranked(blending, max_per_category)
    for row, user in enumerate(SHOPPERS):
        of_model, in_list = expected(user, blending, max_per_category)
        assert listed(got)[row] == in_list
        assert scores(got)[row][: len(of_model)] == pytest.approx([score for _, score in of_model], abs=1e-9)
        runs = [("blend", len(of_model)), ("popularity", len(in_list) - len(of_model))]
        assert filled_by(got)[row] == [run for run in runs if run[1]]


def test_the_cases_hold_full_lists_ties_fills_and_items_of_one_member_alone() -> None:
    blending = Blending("ranks", (1.0, 0.7, 0.3), 7)
    both = [expected(user, blending, 1) for user in SHOPPERS]
    assert any(len(of_model) < len(in_list) for of_model, in_list in both)
    assert sum(len(in_list) == N for _, in_list in both) > 3
    pools = [nominated(0, user, 100) for user in SHOPPERS]
    assert any(len({score for _, score in pool}) < len(pool) for pool in pools)
    assert any(item >= 21 for of_model, _ in both for item, _ in of_model)


@pytest.mark.parametrize("pool_items", [4, 100])
def test_where_scores_are_blended_reasons_are_the_parts_of_the_members_that_nominate(pool_items: int) -> None:
    blending = Blending("scores", (1.0, 0.7, 0.3), pool_items)
    got, num_reasons = ranked(blending, num_reasons=3), 3
    num_given = 0
    for row, user in enumerate(SHOPPERS):
        of_model, _ = expected(user, blending, 0)
        because, how_much = (got[name].to_pylist()[row] for name in ("because", "because_scores"))
        for place, (item, _) in enumerate(of_model):
            added: dict[int, float] = {}
            for number, weight in ((0, 1.0), (2, 0.3)):  # vectors give none at no cost
                pool = nominated(number, user, pool_items)
                if item in dict(pool) and spread(pool):
                    for event, part in parts(number, user, item).items():
                        added[event] = added.get(event, 0.0) + weight * part / spread(pool)
            best = sorted(((e, p) for e, p in added.items() if p > 0), key=lambda pair: (-pair[1], pair[0]))[
                :3
            ]
            at = slice(place * num_reasons, (place + 1) * num_reasons)
            assert [event for event in because[at] if event] == [event for event, _ in best]
            assert how_much[at][: len(best)] == pytest.approx([part for _, part in best])
            num_given += len(best)
    assert num_given > 20


def test_where_ranks_are_blended_no_place_has_a_reason() -> None:
    assert not any(ranked(Blending("ranks", (1.0, 0.7, 0.3), 7), num_reasons=3)["because"].to_pylist())


def test_a_user_without_a_known_event_gets_popularity() -> None:
    batch = users(([1, 1], None, "", False), (None, None, "", False))
    assert {
        run[0] for row in filled_by(ranked(Blending("ranks", (1.0, 1.0, 1.0), 7), batch=batch)) for run in row
    } == {"popularity"}
