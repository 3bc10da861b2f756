"""Where tables live: Parquet by Spark, one Delta commit by `deltalake` for each change."""

from recsys_spark.lake.lake import Lake

__all__ = ["Lake"]
