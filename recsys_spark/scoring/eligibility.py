"""Which items a group of users may get, and how much a boost counts: a small table in place of a mask a user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_spark.forms.form import Eligible

Array = NDArray[Any]

_BETWEEN = "\x1f"


@dataclass(frozen=True)
class Eligibility:
    """What users may get: item i has `factors[g, kind[i]]` for users of group g; 0: they may not get it.

    A group is a segment and an age bracket; a kind is what items have in common of all that decides.

    Attributes:
        kind: int32 [V]; kind 0 is eligible for nobody.
        factors: float64 [G, K]; boosts, 1 without one.
        segments: names that items are kept to; group numbers count them from 1, any other segment is 0.
        age_limits: ascending; a user of age a has passed those up to a.
        narrowed_by: of each group, names of the rules that keep some available item from it.
    """

    kind: NDArray[np.int32]
    factors: NDArray[np.float64]
    segments: tuple[str, ...]
    age_limits: NDArray[np.int64]
    narrowed_by: tuple[tuple[str, ...], ...]

    def of_form(self, is_trained: NDArray[np.bool_]) -> Eligible:
        """The same for a form's items [V]; one that it was not trained on is eligible for nobody."""
        return Eligible(self.kind, self.factors).only(is_trained)

    def groups(self, segments: pa.Array, ages: pa.Array) -> NDArray[np.int64]:
        """The group [B] of users of these segments and ages; nulls are unknown."""
        names = pa.array(self.segments, pa.string())
        segment = pc.fill_null(pc.index_in(segments.cast(pa.string()), names), -1).to_numpy() + 1
        passed = np.searchsorted(self.age_limits, pc.fill_null(ages, -1).to_numpy(), side="right")
        return np.asarray(segment * (len(self.age_limits) + 1) + passed, np.int64)


def eligibility(
    item_features: pa.Table,
    num_items: int,
    blocked_items: Sequence[str] = (),
    blocked_categories: Sequence[str] = (),
    boosts: Mapping[str, float] | None = None,
) -> Eligibility:
    """Who may get what of one cut of ITEM_FEATURES.

    Args:
        num_items: V.
        blocked_items: ids.
        boosts: factor by category; an item of several boosted ones has their product.
    """
    item_idx = item_features["item_idx"].to_numpy()
    is_eligible = item_features["is_available"].to_numpy().astype(np.bool_)
    blocked = {
        "blocked_items": _is_one_of(item_features["item_id"], blocked_items) & is_eligible,
        "blocked_categories": has_category(item_features["categories"], blocked_categories) & is_eligible,
    }
    for is_blocked in blocked.values():
        is_eligible &= ~is_blocked
    sets, of_set = _segment_sets(item_features["segments"])
    segments = tuple(sorted({name for names in sets for name in names}))
    limits = pc.fill_null(item_features["min_age"], 0).to_numpy()
    age_limits = np.unique(limits[limits > 0]).astype(np.int64)
    of_limit = np.searchsorted(age_limits, limits, side="right")
    of_limit[limits <= 0] = 0
    factors, of_factor = np.unique(boosts_of(item_features["categories"], boosts or {}), return_inverse=True)

    code = (of_set * (len(age_limits) + 1) + of_limit) * len(factors) + of_factor
    codes, of_code = np.unique(code[is_eligible], return_inverse=True)
    kind = np.zeros(num_items, np.int32)
    kind[item_idx[is_eligible]] = of_code + 1
    rest, kind_factor = np.divmod(codes, len(factors))
    kind_set, kind_limit = np.divmod(rest, len(age_limits) + 1)

    num_brackets = len(age_limits) + 1
    table = np.zeros(((len(segments) + 1) * num_brackets, len(codes) + 1))
    narrowed_by = []
    for group in range(len(table)):
        segment, passed = divmod(group, num_brackets)
        name = segments[segment - 1] if segment else None
        is_kept_from = {
            "segments": np.array([bool(names) and name not in names for names in sets], bool)[kind_set],
            "min_age": kind_limit > passed,
        }
        table[group, 1:] = np.where(np.any(list(is_kept_from.values()), axis=0), 0.0, factors[kind_factor])
        narrowed_by.append(tuple(rule for rule, which in (is_kept_from | blocked).items() if which.any()))
    return Eligibility(kind, table, segments, age_limits, tuple(narrowed_by))


def has_category(categories: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each item [rows] has one of these categories."""
    has = np.zeros(len(categories), bool)
    if len(names):
        lists = categories.combine_chunks()
        has[np.asarray(pc.list_parent_indices(lists))[_is_one_of(lists.flatten(), names)]] = True
    return has


def boosts_of(categories: pa.ChunkedArray, boosts: Mapping[str, float]) -> NDArray[np.float64]:
    """The factor of each item [rows]."""
    factor = np.ones(len(categories))
    for name in sorted(boosts):
        factor[has_category(categories, [name])] *= boosts[name]
    return factor


def _segment_sets(segments: pa.ChunkedArray) -> tuple[list[frozenset[str]], NDArray[np.int64]]:
    """The distinct sets of segments, and the number [rows] of each item's."""
    lists = segments.combine_chunks()
    texts = pc.fill_null(pc.binary_join(lists.cast(pa.list_(pa.string())), _BETWEEN), "").dictionary_encode()
    names = [
        frozenset(text.split(_BETWEEN)) if text else frozenset() for text in texts.dictionary.to_pylist()
    ]
    return names, texts.indices.to_numpy().astype(np.int64)


def _is_one_of(values: pa.Array | pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.bool_]:
    if not len(names):
        return np.zeros(len(values), np.bool_)
    return np.asarray(pc.fill_null(pc.is_in(values, pa.array(list(names), pa.string())), False))
