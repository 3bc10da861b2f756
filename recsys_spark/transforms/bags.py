"""Everything each user has taken, as a bag: which items, and how much of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from recsys_spark import tables
from recsys_spark.transforms.arrow_lists import lists
from recsys_spark.transforms.user_items import user_items
from recsys_spark.transforms.whole_users import Reading, Timelines


def bags(timelines: DataFrame, cuts: Sequence[str]) -> Reading:
    """Every distinct item of each user and cut with the sum of its events' weights: BAGS without its run_date.

    Weights are summed from the newest event to the oldest, so that the order of rows changes no bit.
    """

    def make(users: Timelines) -> Iterator[pa.RecordBatch]:
        for cut in cuts:
            taken = user_items(users, users.seen(cut))
            weight = np.bincount(taken.of_event, users.of["weight"][taken.events], len(taken.user))
            num = np.bincount(taken.user, minlength=len(users.user_idx))
            has = np.flatnonzero(num)
            columns = {
                "user_idx": pa.array(users.user_idx[has]),
                "items": lists(num[has], taken.item_idx.astype(np.int32)),
                "weights": lists(num[has], weight.astype(np.float32)),
                "cut": pa.repeat(cut, len(has)),
            }
            yield pa.RecordBatch.from_pydict(columns)

    return Reading(timelines, ("item_idx", "weight"), make, tables.BAGS)
