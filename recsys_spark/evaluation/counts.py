"""How often each rule is broken, as one row a rule."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def counts(rows: DataFrame, rules: dict[str, Column], weight: Column | None = None) -> DataFrame:
    """One row a rule: `rule`, `num_broken`, the rows (or their summed weight) for which it is true."""
    one = F.lit(1) if weight is None else weight
    sums = [
        F.coalesce(F.sum(F.when(rule, one)), F.lit(0)).cast("long").alias(name)
        for name, rule in rules.items()
    ]
    names = F.map_from_arrays(
        F.array(*[F.lit(name) for name in rules]), F.array(*[F.col(name) for name in rules])
    )
    return rows.agg(*sums).select(F.explode(names).alias("rule", "num_broken"))
