"""What a table is: its columns with their types and comments, its key, its partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from recsys_spark.errors import BadDataError

CUTS = ("valid", "test", "night")
PADDING, UNKNOWN, FIRST_IDX = 0, 1, 2  # item numbers: none, one the reader does not know, the first item's

STRING, INT, LONG, FLOAT, DOUBLE = StringType(), IntegerType(), LongType(), FloatType(), DoubleType()
BOOLEAN, DATE, TIMESTAMP = BooleanType(), DateType(), TimestampType()
INTS, FLOATS, DOUBLES, STRINGS = ArrayType(INT), ArrayType(FLOAT), ArrayType(DOUBLE), ArrayType(STRING)
COUNTS, TEXTS = MapType(STRING, LONG), MapType(STRING, STRING)

Column = tuple[str, DataType, str]


class DataFile(NamedTuple):
    """One committed Parquet file: its URI and the rows of each of its row groups, in order."""

    uri: str
    row_group_rows: tuple[int, ...]

    @property
    def num_rows(self) -> int:
        """Rows of the file."""
        return sum(self.row_group_rows)


@dataclass(frozen=True)
class Table:
    """A contract: the name, the columns in order, what makes a row unique, how files are parted."""

    name: str
    schema: StructType
    key: tuple[str, ...]
    partitions: tuple[str, ...]

    def check(self, df: DataFrame) -> DataFrame:
        """Cut `df` to exactly this table's columns, in order.

        Raises BadDataError naming every missing column and every wrong type at once.
        """
        self.refuse_others(df.schema)
        return df.select(*self.schema.fieldNames())

    def refuse_others(self, schema: StructType) -> None:
        """Raise BadDataError naming every column of this table that `schema` lacks or has of another type."""
        got = {field.name: field.dataType for field in schema}
        faults = [f"{f.name}: missing" for f in self.schema if f.name not in got]
        faults += [
            f"{f.name}: expected {f.dataType.simpleString()}, got {got[f.name].simpleString()}"
            for f in self.schema
            if f.name in got and got[f.name].simpleString() != f.dataType.simpleString()
        ]
        if faults:
            raise BadDataError(f"table {self.name}: {'; '.join(faults)}")


def table(
    name: str, columns: Sequence[Column], key: Sequence[str], partitions: Sequence[str] = ("run_date",)
) -> Table:
    """A contract from (name, type, comment) rows, in order; every column is nullable, as in Delta."""
    fields = [StructField(n, t, True, {"comment": comment}) for n, t, comment in columns]
    return Table(name, StructType(fields), tuple(key), tuple(partitions))


RUN_DATE: Column = ("run_date", DATE, "the night that wrote the row")
CUT: Column = ("cut", STRING, "valid | test | night: which events the row was built from")
ORIGIN: list[Column] = [
    ("file_name", STRING, "file of the delivery, relative to the source's folder"),
    ("record", LONG, "record number in the file, from 1, the header not counted"),
]
