"""A hash of rows that does not depend on their order or partitioning."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_HEX_DIGITS = 15  # of each part of the hash: 60 bits fit a long


def hash_of(text: Column) -> Column:
    """Aggregate: a hash of the rows' texts.

    Each row gives s = sha256(text) in hex; a and b are the sums over rows of its first and second 15 hex
    digits as integers, n counts the rows; the hash is sha256(f"{n} {a} {b}") in hex. Sums of integers do
    not depend on the order of rows.
    """
    row = F.sha2(text, 256)

    def total(first_digit: int) -> Column:
        part = F.conv(F.substring(row, first_digit, _HEX_DIGITS), 16, 10).cast("decimal(20,0)")
        return F.coalesce(F.sum(part), F.lit(0)).cast("decimal(38,0)").cast("string")

    num = F.count(F.lit(1)).cast("string")
    return F.sha2(F.concat_ws(" ", num, total(1), total(1 + _HEX_DIGITS)), 256)


def content(rows: DataFrame, columns: Sequence[str]) -> DataFrame:
    """One row: `num_rows`, and `content_hash` of these columns, each row reduced to 64 bits first."""
    text = F.xxhash64(*columns).cast("string")
    return rows.agg(F.count(F.lit(1)).alias("num_rows"), hash_of(text).alias("content_hash"))
