"""Numbers of users and items brought to mean 0 and deviation 1 by the statistics of their cut."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

NOISE = 1e-12  # a variance below this share of the mean square is rounding


def exact(number: Column) -> Column:
    """A decimal of 9 places whose sums do not depend on the order of rows; beyond +-1e18 counts as that."""
    most = F.lit(1e18)
    capped = F.when(number > most, most).when(number < -most, -most).otherwise(number)
    return capped.cast("decimal(28,9)")


def scale(number: Column) -> Column:
    """Aggregate: struct of the mean and the population deviation; 0 and 1 where there is nothing to scale by."""
    num = F.count(number)
    mean = F.try_divide(F.sum(exact(number)).cast("double"), num)
    mean_square = F.try_divide(F.sum(exact(number * number)).cast("double"), num)
    variance = mean_square - mean * mean
    std = F.when(variance > mean_square * NOISE, F.sqrt(variance))
    return F.struct(F.coalesce(mean, F.lit(0.0)).alias("mean"), F.coalesce(std, F.lit(1.0)).alias("std"))


def scaled(numbers: Sequence[str]) -> Column:
    """Two floats a number n: (n - mean) / std by its `n_scale`, 0 where n is missing; and 1 where it is there."""
    both: list[Column] = []
    for n in numbers:
        value = (F.col(n) - F.col(f"{n}_scale.mean")) / F.col(f"{n}_scale.std")
        both += [F.coalesce(value, F.lit(0.0)).cast("float"), F.col(n).isNotNull().cast("float")]
    return F.array(*both)


def scaled_columns(numbers: Sequence[str]) -> Column:
    """Name, mean and std of what `scaled` gives, in the same order."""
    named: list[Column] = []
    for n in numbers:
        named += [
            _column(F.lit(n), F.col(f"{n}_scale.mean"), F.col(f"{n}_scale.std")),
            _indicator(F.lit(f"has_{n}")),
        ]
    return F.array(*named)


def indicator_columns(names: Column) -> Column:
    """Name, mean 0 and std 1 of features that are not scaled."""
    return F.transform(names, _indicator)


def with_positions(stats: DataFrame, entity: str, columns: Column) -> DataFrame:
    """Rows of FEATURE_COLUMNS without their run_date, from one array of columns a cut."""
    return stats.select("cut", F.posexplode(columns).alias("position", "column")).select(
        F.lit(entity).alias("entity"), "position", "column.name", "column.mean", "column.std", "cut"
    )


def _indicator(name: Column) -> Column:
    return _column(name, F.lit(0.0), F.lit(1.0))


def _column(name: Column, mean: Column, std: Column) -> Column:
    return F.struct(name.alias("name"), mean.alias("mean"), std.alias("std"))
