"""What transforms leave to their job: they run nothing themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame


class Actions(NamedTuple):
    """How a job runs a frame.

    Attributes:
        keep: holds a frame that is used more than once.
        gather: brings a frame with at most a few rows an item to the driver.
    """

    keep: Callable[[DataFrame], DataFrame]
    gather: Callable[[DataFrame], pa.Table]
