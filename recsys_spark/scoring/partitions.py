"""Users parted by ranges of user_id: what is written of them then loads in bulk, file after file."""

from __future__ import annotations

from pyspark.sql import DataFrame


def in_partitions(users: DataFrame, num_partitions: int) -> DataFrame:
    """Part the users into ranges of user_id, ascending inside each; a mapInArrow behind it keeps both.

    Args:
        num_partitions: at most so many; adaptive execution leaves a number that is asked for alone. Spark
            samples where ranges end, so a re-run may cut at other users; rows and their order stay the same.
    """
    return users.repartitionByRange(num_partitions, "user_id").sortWithinPartitions("user_id")
