"""Titles as hashed TF-IDF terms."""

from __future__ import annotations

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
    counted = F.transform(
        idf_by_bucket, lambda weight, bucket: weight * F.size(F.filter(terms, lambda term: term == bucket))
    )
    squares = F.aggregate(counted, F.lit(0.0), lambda total, value: total + value * value)
    return F.transform(
        counted,
        lambda value: F.when(squares > 0, value / F.sqrt(squares)).otherwise(F.lit(0.0)).cast("float"),
    )
