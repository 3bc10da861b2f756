"""The tables of a night that follow from each user's own events: which of them, of which cuts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from pyspark.sql import DataFrame

from recsys_spark.transforms.bags import bags
from recsys_spark.transforms.examples import Weights, event_examples, sequence_examples, user_examples
from recsys_spark.transforms.histories import histories, seen_items
from recsys_spark.transforms.whole_users import Reading

TO_LEARN = ("valid", "night")  # cuts of the tables that only training reads


class Sizes(NamedTuple):
    """Positions in a history and a window, and in a user example."""

    history_length: int
    user_example_items: int


def user_tables(
    timelines: DataFrame, wanted: Collection[str], cuts: Sequence[str], sizes: Sizes, weights: Weights | None
) -> list[Reading]:
    """The wanted ones, those that training reads last.

    Args:
        timelines: what `timelines.timelines` gives.
        wanted: names of tables.
        cuts: of the tables that lists read.
        sizes: of lists of one fixed length.
        weights: of examples by item, what `examples.by_item` gives; None: every item weighs 1.
    """
    readings = (
        seen_items(timelines, cuts),
        histories(timelines, cuts, sizes.history_length),
        bags(timelines, cuts),
        event_examples(timelines, TO_LEARN, weights),
        user_examples(timelines, TO_LEARN, weights, sizes.user_example_items),
        sequence_examples(timelines, TO_LEARN, sizes.history_length),
    )
    return [reading for reading in readings if reading.table.name in wanted]
