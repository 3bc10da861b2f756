"""What every recommender keeps to, whatever it is; `contract_lines` has a line for each."""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from contract_fits import Fit
from contract_lines import LINES, POPULAR, REPEATED, UNSEEN
from contract_shop import (
    COUNTS,
    GROUP,
    LENGTH,
    NEVER_TRAINED,
    NUM_TRAINED,
    V,
    shop,
    users,
)
from contract_shop import POPULAR as POPULAR_ITEM

from recsys_spark import models
from recsys_spark.scoring.catalogue import Catalogue
from recsys_spark.scoring.loaded_models import LoadedModel
from recsys_spark.scoring.ranker import ranker
from recsys_spark.scoring.rules import ListSettings, Rules

HISTORIES = [[2, 3, 4, 5], [9, 7, 10], [6, 6, 2, 6, 8], [3, 8, 5, 8, 2]]


class Place(NamedTuple):
    """A place of a list that the recommender filled."""

    item: int
    score: float
    because: dict[int, float]


def lists(
    model: LoadedModel | None, batch: pa.RecordBatch, items: Catalogue | None = None, **settings: Any
) -> pa.RecordBatch:
    """Through the ranker, as in a scoring process."""
    how = ListSettings(num_items=settings.pop("num_items", 5), batch_users=300, num_threads=1, **settings)
    return ranker(items or shop(), model, how).lists(batch)


def places(name: str, lists: pa.RecordBatch) -> list[list[Place]]:
    """Of each list, those that the recommender filled."""
    out = []
    for row in lists.to_pylist():
        num = sum(run["num_items"] for run in row["filled_by"] if run["source"] == name)
        width = len(row["because"]) // max(len(row["items"]), 1)
        reasons = [
            dict(zip(row["because"][start : start + width], row["because_scores"][start : start + width], strict=True))
            for start in range(0, width * num, width or 1)
        ] or [{}] * num  # fmt: skip
        pairs = zip(row["items"], row["scores"], reasons, strict=False)
        out.append([Place(i, s, {k: v for k, v in why.items() if k}) for i, s, why in pairs][:num])
    return out


def model_of(fitted: Fit | None) -> LoadedModel | None:
    return fitted.loaded if fitted else None


def left_out(name: str, histories: list[list[int]]) -> list[list[int]] | None:
    """What was seen, where the recommender does not list that alone."""
    return None if LINES[name].finds == REPEATED else [sorted(set(items)) for items in histories]


def test_every_recommender_has_a_line() -> None:
    assert list(LINES) == list(models.ALL)


def test_padding_changes_no_bit(name: str, fitted: Fit | None) -> None:
    seen = left_out(name, HISTORIES)
    expected = lists(model_of(fitted), users(HISTORIES, 5, seen), explain=True, num_reasons=2)
    assert expected["items"].to_pylist() != [[]] * 4
    for length in (LENGTH, LENGTH + 9):
        got = lists(model_of(fitted), users(HISTORIES, length, seen), explain=True, num_reasons=2)
        assert got.equals(expected)


def test_who_else_is_in_the_batch_and_where_changes_no_bit(name: str, fitted: Fit | None) -> None:
    alone = []
    for items in HISTORIES:
        alone += lists(model_of(fitted), users([items], left_out=left_out(name, [items]))).to_pylist()
    many = [HISTORIES[n % 4] for n in range(299, -1, -1)]  # more than the network encodes at a time
    got = lists(model_of(fitted), users(many, left_out=left_out(name, many))).to_pylist()
    for number, row in enumerate(got):
        expected = {**alone[(299 - number) % 4], "user_id": row["user_id"], "user_idx": row["user_idx"]}
        assert row == expected


def test_saved_and_loaded_it_gives_the_same_lists_and_reasons(name: str, fitted: Fit | None) -> None:
    if fitted is None:
        pytest.skip("nobody fits it: its lists are those of the table segment_popularity")
    batch = users(HISTORIES, left_out=left_out(name, HISTORIES))
    both = [
        lists(model, batch, explain=True, num_reasons=2).to_pydict()
        for model in (fitted.in_memory, fitted.loaded)
    ]
    assert any(map(len, both[0]["because"]))
    assert both[0] == both[1]


def test_planted_structure_is_found_and_the_popular_item_is_not_simply_returned(
    name: str, fitted: Fit | None
) -> None:
    batch = users(HISTORIES, left_out=left_out(name, HISTORIES))
    for items, filled in zip(HISTORIES, places(name, lists(model_of(fitted), batch)), strict=True):
        listed = [place.item for place in filled]
        match LINES[name].finds:
            case finds if finds == UNSEEN:
                unseen = set(GROUP) - set(items)
                assert set(listed[: len(unseen)]) <= unseen and len(listed) >= min(5, len(unseen))
                assert POPULAR_ITEM not in listed[: len(unseen)]
            case finds if finds == REPEATED:
                assert set(listed) == set(items)
                assert listed[0] == max(items, key=items.count) or len(set(items)) == len(items)
            case finds if finds == POPULAR:
                assert listed[0] == POPULAR_ITEM
                counts = [COUNTS[item] for item in listed]
                assert counts == sorted(counts, reverse=True)
        scores = [place.score for place in filled]
        assert scores == sorted(scores, reverse=True)


def test_exact_reasons_are_what_the_score_falls_by_without_the_item(name: str, fitted: Fit | None) -> None:
    if not models.ALL[name].has_exact_reasons:
        return
    seen = left_out(name, HISTORIES)
    filled = places(
        name, lists(model_of(fitted), users(HISTORIES, left_out=seen), num_items=V, num_reasons=9)
    )
    assert any(place.because for user in filled for place in user)
    for row, user in enumerate(filled):
        for item in set(HISTORIES[row]):
            without = [1 if other == item else other for other in HISTORIES[row]]  # others keep their weights
            batch = users([without], left_out=[seen[row]] if seen else None)
            [still] = places(name, lists(model_of(fitted), batch, num_items=V))
            left = {place.item: place.score for place in still}
            for listed, score, reasons in user:
                reason = reasons.get(item, 0.0)
                if listed in left:
                    fall = score - left[listed]
                    assert reason == pytest.approx(fall, rel=1e-9, abs=1e-12) or (fall < 0 and not reason)
                else:
                    assert reason >= score - 1e-12  # nothing is left that speaks for it


def test_what_a_user_may_not_get_is_never_listed(name: str, fitted: Fit | None) -> None:
    seen = left_out(name, HISTORIES)
    before = lists(model_of(fitted), users(HISTORIES, left_out=seen), num_items=V)
    assert all(NEVER_TRAINED not in items for items in before["items"].to_pylist())
    for row, items in enumerate(HISTORIES):
        gone, only_fr, blocked = [place.item for place in places(name, before)[row]][:3]
        not_this = [[*(seen[row] if seen else []), blocked]]
        for segment, closed in (("", {gone, only_fr, blocked}), ("FR", {gone, blocked})):
            batch = users([items], left_out=not_this, segment=segment)
            got = lists(model_of(fitted), batch, shop(unavailable=gone, only_fr=only_fr), num_items=V)
            [listed] = got["items"].to_pylist()
            assert set(listed) == set(before["items"].to_pylist()[row]) - closed


def test_a_boost_lifts_an_item(name: str, fitted: Fit | None) -> None:
    batch = users(HISTORIES, left_out=left_out(name, HISTORIES))
    for row, filled in enumerate(places(name, lists(model_of(fitted), batch, num_items=V))):
        last = filled[:5][-1].item
        assert filled[0].item != last
        boosted = shop(Rules(boosts={"boosted": 1e9}), boosted=last)
        assert places(name, lists(model_of(fitted), batch, boosted))[row][0].item == last


def test_the_shop_has_an_item_that_nobody_learns() -> None:
    assert (COUNTS > 0).sum() == NUM_TRAINED
    assert COUNTS[NEVER_TRAINED] == 0 and COUNTS.argmax() == POPULAR_ITEM
