"""Who may get an item: its segments and its age, nothing else."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from recsys_spark.evaluation.checks.items import Flags, Items
from recsys_spark.evaluation.checks.users import Array, Users


def may_get(users: Users, items: Items, row: Array, item_idx: Array) -> Flags:
    """Whether each user, by row [P], may get each item [P].

    Args:
        item_idx: as `Items.facts_of` gives them.
    """
    names = users.segments.dictionary_encode()
    segment = names.indices.fill_null(len(names.dictionary)).to_numpy()
    of_segment = np.array([_sets_of(name, items) for name in [*names.dictionary.to_pylist(), None]])
    min_age = items.min_age[item_idx]
    return np.asarray(
        of_segment[segment[row], items.segment_set[item_idx]]
        & ((min_age <= 0) | (users.ages[row] >= min_age))
    )


def num_eligible(users: Users, items: Items, rows: Array, is_wanted: Flags) -> Array:
    """How many of the wanted items [V] each of these users may get, one number for each of `rows`."""
    keys = pa.table({"segment": users.segments, "age": users.ages}).take(pa.array(rows)).to_pylist()
    kinds = list(dict.fromkeys((key["segment"], key["age"]) for key in keys))
    num = {}
    for segment, age in kinds:
        of_segment = _sets_of(segment, items)[items.segment_set]
        of_age = (items.min_age <= 0) | (age >= items.min_age)
        num[segment, age] = np.count_nonzero(is_wanted & of_segment & of_age)
    return np.array([num[key["segment"], key["age"]] for key in keys], np.int64)


def _sets_of(segment: str | None, items: Items) -> Flags:
    """Which sets of segments a user of this one belongs to."""
    return np.array([not names or segment in names for names in items.segment_sets], np.bool_)
