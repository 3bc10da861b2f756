"""What a table is: its columns with their types and comments, its key, its partitions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from recsys_spark.errors import BadDataError

if TYPE_CHECKING:  # Spark takes half a second to import, and who only looks into the lake needs none of it
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

CUTS = ("valid", "test", "night")
PADDING, UNKNOWN, FIRST_IDX = 0, 1, 2  # of item and user numbers; real ones start with the third

# A type is spelled as Delta and Spark spell it in JSON; whatever it holds is nullable, as in Delta.
Type = str | dict[str, Any]


def array(of: Type) -> Type:
    """A list of values of one type."""
    return {"type": "array", "elementType": of, "containsNull": True}


def struct(**fields: Type) -> Type:
    """Named values of a type each."""
    return {"type": "struct", "fields": [_field(name, kind) for name, kind in fields.items()]}


def _map(of: Type) -> Type:
    return {"type": "map", "keyType": STRING, "valueType": of, "valueContainsNull": True}


def _field(name: str, kind: Type, **metadata: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "nullable": True, "metadata": metadata}


STRING, INT, LONG, FLOAT, DOUBLE = "string", "integer", "long", "float", "double"
BOOLEAN, DATE, TIMESTAMP = "boolean", "date", "timestamp"
INTS, FLOATS, DOUBLES, STRINGS = array(INT), array(FLOAT), array(DOUBLE), array(STRING)
COUNTS, TEXTS = _map(LONG), _map(STRING)

Column = tuple[str, Type, str]


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
    columns: tuple[Column, ...] = field(hash=False)
    key: tuple[str, ...]
    partitions: tuple[str, ...]

    @cached_property
    def json(self) -> str:
        """The schema as Delta and Spark read it; every column is nullable, as in Delta."""
        fields = [_field(name, kind, comment=comment) for name, kind, comment in self.columns]
        return json.dumps({"type": "struct", "fields": fields})

    @cached_property
    def schema(self) -> StructType:
        """The schema as Spark has it."""
        from pyspark.sql.types import StructType

        return StructType.fromJson(json.loads(self.json))

    def check(self, df: DataFrame) -> DataFrame:
        """Cut `df` to exactly this table's columns, in order.

        Raises BadDataError naming every missing column and every wrong type at once.
        """
        self.refuse_others(df.schema)
        return df.select(*(name for name, _, _ in self.columns))

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
    """A contract from (name, type, comment) rows, in order."""
    return Table(name, tuple(columns), tuple(key), tuple(partitions))


RUN_DATE: Column = ("run_date", DATE, "the night that wrote the row")
CUT: Column = ("cut", STRING, "valid | test | night: which events the row was built from")
ORIGIN: list[Column] = [
    ("file_name", STRING, "file of the delivery, relative to the source's folder"),
    ("record", LONG, "record number in the file, from 1, the header not counted"),
]
