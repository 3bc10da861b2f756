"""Titles as hashed TF-IDF terms."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column
from pyspark.sql import functions as F


def title_terms(title: Column, num_buckets: int) -> Column:
    """The bucket (0 to num_buckets - 1) of every term; a term is a run of letters and digits, in lower case.

    No title, no terms.
    """
    words = F.filter(F.split(F.lower(title), r"[^\p{L}\p{N}]+"), lambda word: word != "")
    buckets = F.transform(words, lambda word: F.pmod(F.xxhash64(word), F.lit(num_buckets)).cast("int"))
    return F.coalesce(buckets, F.array().cast("array<int>"))


def idf(num_titles: Column, num_titles_with: Column) -> Column:
    """Inverse document frequency of each bucket: ln((1 + n) / (1 + titles with it)) + 1.

    Args:
        num_titles: n, all titles.
        num_titles_with: array by bucket, titles with a term of it.
    """
    return F.transform(
        num_titles_with, lambda num: F.ln((F.lit(1.0) + num_titles) / (F.lit(1.0) + num)) + F.lit(1.0)
    )


def tf_idf(terms: Column, idf_by_bucket: Column) -> Column:
    """Term counts x idf, scaled to length 1; all zero without terms."""
    zeros = F.array_repeat(F.lit(0.0).cast("float"), F.size(idf_by_bucket))
    counted = F.transform(
        idf_by_bucket, lambda weight, bucket: weight * (F.size(terms) - F.size(F.array_remove(terms, bucket)))
    )
    return F.when(F.size(terms) > 0, _once(counted, _scaled)).otherwise(zeros)


def _scaled(values: Column) -> Column:
    squares = F.aggregate(values, F.lit(0.0), lambda total, value: total + value * value)
    return _once(
        squares, lambda total: F.transform(values, lambda value: (value / F.sqrt(total)).cast("float"))
    )


def _once(value: Column, use: Callable[[Column], Column]) -> Column:
    """`use(value)`. Spark works out a value that a lambda names anew for each element; this one only once."""
    return F.transform(F.array(value), use)[0]
