"""One feed of a mapping: types, and what must go together. conf/mappings/template.yaml explains each key."""

from __future__ import annotations

import codecs
import difflib
import zoneinfo
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

REQUIRED = {
    "interactions": ("user_id", "item_id", "event_type", "event_at"),
    "items": ("item_id",),
    "users": ("user_id",),
}
OPTIONAL = {
    "interactions": ("value",),
    "items": ("title", "categories", "price", "year", "is_available", "seller", "segments", "min_age"),
    "users": ("segment", "age"),
}
LINE_COUNT = "line_count"


class Strict(BaseModel):
    """A part of a mapping: unknown keys are refused, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnSource(Strict):
    """Where a contract column comes from: exactly one of the three."""

    column: str | None = None
    constant: str | None = None
    sql: str | None = None

    @model_validator(mode="after")
    def _one(self) -> ColumnSource:
        if [self.column, self.constant, self.sql].count(None) != 2:
            raise ValueError("give exactly one of column, constant, sql")
        return self


class EventType(Strict):
    """One event type: its weight, and the source's words for it (none: the type's own name)."""

    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    values: tuple[str, ...] = ()


def _column(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


def _yes_no(value: Any) -> Any:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


class Feed(Strict):
    """One file pattern that fills one contract."""

    table: Literal["interactions", "items", "users"]
    files: str
    delivery: Literal["increment", "full"]
    optional: bool = False
    format: Literal["csv", "tsv", "jsonl", "parquet"] = "csv"
    delimiter: Annotated[str, Field(min_length=1)] = ","
    quote: Annotated[str, Field(min_length=1, max_length=1)] | None = '"'
    header: Annotated[Literal["yes", "no", "typed"], BeforeValidator(_yes_no)] = "yes"
    encoding: str = "utf-8"
    fields: tuple[str, ...] = ()
    read: Annotated[tuple[str, ...], Field(min_length=1)]
    columns: dict[str, Annotated[ColumnSource, BeforeValidator(_column)]]
    filters: dict[str, str] = {}
    row_key: tuple[str, ...] = ()
    time: Literal["epoch_seconds", "epoch_milliseconds", "iso", "pattern"] | None = None
    time_pattern: str | None = None
    time_zone: str | None = None
    value_range: tuple[float, float] | None = None
    event_types: dict[str, EventType] = {}
    categories_separator: Annotated[str, Field(min_length=1)] = "|"

    @property
    def names(self) -> tuple[str, ...]:
        """Column names of the file in order; of a typed header, what stands before the colon."""
        return (
            tuple(f.rpartition(":")[0] or f for f in self.fields) if self.header == "typed" else self.fields
        )

    @model_validator(mode="after")
    def _columns_fit(self) -> Feed:
        known = REQUIRED[self.table] + OPTIONAL[self.table]
        faults = [f"columns.{name}: {hint(name, known)}" for name in self.columns if name not in known]
        faults += [f"columns.{name}: missing" for name in REQUIRED[self.table] if name not in self.columns]
        if self.format in ("csv", "tsv"):
            if not self.fields:
                faults.append("fields: name every column of the file, in order")
            faults += [
                f"read: {name} is not among the fields" for name in self.read if name not in self.names
            ]
        faults += [f"read: {name} begins with two underscores" for name in self.read if name.startswith("__")]
        faults += [
            f"columns.{name}: source column {source.column} is not in read"
            for name, source in self.columns.items()
            if source.column is not None and source.column not in self.read
        ]
        faults += [
            f"row_key: {name} is neither a contract column nor in read"
            for name in self.row_key
            if self.table == "interactions" and name not in (*self.columns, *self.read, LINE_COUNT)
        ]
        return _refuse(self, faults)

    @model_validator(mode="after")
    def _interactions_are_whole(self) -> Feed:
        faults = []
        if self.table == "interactions":
            needed = {"time": self.time, "event_types": self.event_types, "row_key": self.row_key}
            faults += [f"{key}: interactions need it" for key, value in needed.items() if not value]
            if self.row_key == (LINE_COUNT,):
                faults.append(f"row_key: {LINE_COUNT} alone names no event")
            constant = self.columns["event_type"].constant
            if constant is not None and constant not in self.event_types:
                faults.append(f"event_types: no weight for the constant {constant}")
        elif self.row_key or self.time or self.event_types or self.value_range:
            faults.append("row_key, time, event_types and value_range belong to interactions only")
        if (self.time == "pattern") != (self.time_pattern is not None):
            faults.append("time_pattern: goes with time: pattern, and only with it")
        if self.time_pattern and not self.time_zone and not set("XxZzVO") & set(self.time_pattern):
            faults.append("time_zone: needed, the pattern holds no zone")
        if self.time_zone and self.time_zone not in zoneinfo.available_timezones():
            faults.append(f"time_zone: {self.time_zone} is not a zone such as Europe/London or UTC")
        if self.value_range and not self.value_range[0] <= self.value_range[1]:
            faults.append("value_range: the minimum exceeds the maximum")
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            faults.append(f"encoding: {self.encoding} is unknown")
        return _refuse(self, faults)


def _refuse(feed: Feed, faults: list[str]) -> Feed:
    if faults:
        raise ValueError("; ".join(faults))
    return feed


def hint(name: str, known: tuple[str, ...] | list[str]) -> str:
    """The known name nearest to a wrong one, or all of them."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
