"""Cropped, reordered and masked inputs: padding stays left, nothing shows the target, off changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from recsys_spark.networks import draws
from recsys_spark.networks.augmentation import SPAN, augment
from recsys_spark.networks.targets import select

B, L = 400, 12
NAMES = ("items", "types", "values", "gaps", "weights")
KEY = draws.key(1, 1, 1)


def inputs(shortest: int = 0) -> dict[str, np.ndarray]:
    """Windows of `shortest` to 12 events; no two numbers of a window are the same, the first gap is 0."""
    num = np.random.default_rng(0).integers(shortest, L + 1, (B, 1))
    place = np.arange(L) - (L - num)
    is_event = place >= 0
    rows = {
        name: np.where(is_event, 100 * (i + 1) + place, 0).astype(np.float32 if i in (2, 4) else np.int32)
        for i, name in enumerate(NAMES)
    }
    rows["gaps"][place == 0] = 0
    return rows


def seen(rows: Any, key: Any = KEY, **shares: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    given = {"crop_share": 0.0, "mask_share": 0.0, "reorder_share": 0.0, **shares}
    found, trains = augment(rows, key, **given)
    return {name: np.asarray(array) for name, array in found.items()}, np.asarray(trains)


@pytest.mark.parametrize(
    ("key", "shares"), [(KEY, {}), (None, {"crop_share": 1.0, "mask_share": 0.9, "reorder_share": 1.0})]
)
def test_off_or_without_a_key_nothing_changes(key: Any, shares: dict[str, float]) -> None:
    rows = inputs()
    found, trains = seen(rows, key, **shares)
    assert trains.all()
    for name in NAMES:
        np.testing.assert_array_equal(found[name], rows[name])


def test_a_crop_drops_the_oldest_events_and_their_successors_do_not_train() -> None:
    rows = inputs()
    found, trains = seen(rows, crop_share=1.0)
    num_before, num = (np.count_nonzero(r["items"], axis=1) for r in (rows, found))
    assert ((num < num_before) == (num_before > 1)).all()
    assert (num[num_before > 0] > 0).all()
    for name in ("items", "types", "values", "weights"):
        kept = found["items"] > 0
        np.testing.assert_array_equal(found[name], np.where(kept, rows[name], 0))
    is_cropped = num < num_before
    np.testing.assert_array_equal(trains[is_cropped], found["items"][is_cropped] > 0)
    assert trains[~is_cropped].all()


def test_a_crop_starts_at_every_event_and_the_first_gap_is_0() -> None:
    rows = inputs(shortest=L)
    found, _ = seen(rows, crop_share=1.0)
    first = np.argmax(found["items"] > 0, axis=1)
    assert set(first) == set(range(1, L))
    assert (found["gaps"][np.arange(B), first] == 0).all()
    later = np.arange(L) > first[:, None]
    np.testing.assert_array_equal(found["gaps"][later], rows["gaps"][later])


def test_a_reordered_span_holds_the_same_events_and_the_gaps_stay() -> None:
    rows = inputs()
    found, _ = seen(rows, reorder_share=1.0)
    np.testing.assert_array_equal(found["gaps"], rows["gaps"])
    np.testing.assert_array_equal(np.sort(found["items"], axis=1), np.sort(rows["items"], axis=1))
    for name, shift in (("types", 100), ("values", 200), ("weights", 400)):
        np.testing.assert_array_equal(found[name], np.where(found["items"] > 0, found["items"] + shift, 0))
    moved = found["items"] != rows["items"]
    spans = moved.any(axis=1)
    width = L - np.argmax(moved[:, ::-1], axis=1) - np.argmax(moved, axis=1)
    assert width[spans].max() == SPAN
    assert 0.5 < spans.mean() < 1


def test_a_place_that_trains_has_seen_the_events_up_to_it_and_no_later_one() -> None:
    rows = inputs()
    found, trains = seen(rows, reorder_share=1.0)
    assert not trains.all()
    for end in range(1, L + 1):
        before, after = (np.sort(r["items"][:, :end], axis=1) for r in (rows, found))
        is_same = (before == after).all(axis=1)
        assert is_same[trains[:, end - 1]].all()
    assert trains[:, -1].all()  # a span's last event has seen the span and predicts what follows it


def test_masked_items_become_unknown_and_padding_and_the_rest_stay() -> None:
    rows = inputs()
    found, trains = seen(rows, mask_share=0.3)
    is_event = rows["items"] > 0
    masked = found["items"] != rows["items"]
    assert masked[is_event].mean() == pytest.approx(0.3, abs=0.03)
    assert (found["items"][masked] == 1).all()
    assert not masked[~is_event].any()
    assert trains.all()
    for name in NAMES[1:]:
        np.testing.assert_array_equal(found[name], rows[name])


def test_all_three_keep_padding_left_and_dtypes() -> None:
    rows = inputs()
    found, _ = seen(rows, crop_share=0.5, mask_share=0.5, reorder_share=1.0)
    is_event = found["items"] > 0
    assert (np.diff(is_event.astype(int), axis=1) >= 0).all()
    for name in NAMES:
        assert found[name].dtype == rows[name].dtype
        assert not found[name][~is_event].any()


@pytest.mark.parametrize("name", ["crop_share", "reorder_share"])
def test_a_share_of_the_windows_changes(name: str) -> None:
    rows = inputs()
    changed = {
        share: (seen(rows, **{name: share})[0]["items"] != rows["items"]).any(axis=1) for share in (0.3, 1.0)
    }
    assert changed[0.3].sum() / changed[1.0].sum() == pytest.approx(0.3, abs=0.08)


def test_another_step_changes_other_windows() -> None:
    rows = inputs()
    one, other = (seen(rows, draws.key(1, 1, step), mask_share=0.3)[0]["items"] for step in (1, 2))
    assert not np.array_equal(one, other)


def test_targets_are_those_of_the_window_as_it_was() -> None:
    items = np.array([[0, 5, 6, 7], [2, 3, 1, 4]], np.int32)
    batch = {
        "items": items,
        "weights": items.astype(np.float32),
        "mask": np.array([[0, 0, 1, 1], [0, 1, 1, 1]], np.int32),
    }
    found = select(batch, tf.constant([[True, True, True], [True, True, False]]))
    assert found.items.numpy().tolist() == [6, 7, 3]  # 1 is unknown, and before the 4 nothing trains
    assert found.weights.numpy().tolist() == [6, 7, 3]
    assert found.window.numpy().tolist() == [0, 0, 1]
    assert found.num_in_window.numpy().tolist() == [2, 2, 1]
    assert found.places.numpy().tolist() == [1, 2, 3]
