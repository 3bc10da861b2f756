"""A mapping says how the files of one outside source become interactions, items and users.

Every key is explained in conf/mappings/template.yaml; feed.py holds the types of a feed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
)

from recsys_spark.errors import SettingsError
from recsys_spark.sources.feed import ColumnSource, EventType, Feed, Strict, hint

MAPPINGS = Path(__file__).parent.parent / "conf" / "mappings"


def _at_least_one(feeds: tuple[Feed, ...]) -> tuple[Feed, ...]:
    if not feeds:
        raise ValueError("name at least one")
    return feeds


class Mapping(Strict):
    """The feeds of one source; `active_days` overrides recommend.active_days for its users."""

    feeds: Annotated[tuple[Feed, ...], AfterValidator(_at_least_one)]
    active_days: Annotated[int, Field(ge=1)] | Literal["all"] | None = None


def active_days(mapping: Mapping, default: int | Literal["all"]) -> int | Literal["all"]:
    """Days within which an event makes a user of this source active; `all`: always active."""
    return default if mapping.active_days is None else mapping.active_days


def load_mapping(name_or_path: str) -> Mapping:
    """Read a shipped mapping by name, or a mapping file by path.

    Raises:
        SettingsError: no such file, not YAML, or a key is unknown, missing or out of range.
    """
    path = Path(name_or_path)
    if not path.is_file():
        path = MAPPINGS / f"{name_or_path}.yaml"
    if not path.is_file():
        near = hint(name_or_path, sorted(p.stem for p in MAPPINGS.glob("*.yaml")))
        raise SettingsError(f"mapping {name_or_path}: no such file and no shipped mapping; {near}")
    try:
        return Mapping.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise SettingsError(f"mapping {path.name}: not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        faults = "; ".join(_explain(dict(fault)) for fault in error.errors())
        raise SettingsError(f"mapping {path.name}: {faults}") from None


def _explain(fault: dict[str, Any]) -> str:
    *parents, last = fault["loc"] or ("mapping",)
    where = ".".join(map(str, (*parents, last)))
    if fault["type"] != "extra_forbidden":
        got = "" if isinstance(fault["input"], dict | list | tuple) else f", got {str(fault['input'])[:80]!r}"
        return f"{where}: {fault['msg'].removeprefix('Value error, ')}{got}"
    models = {"feeds": Feed, "columns": ColumnSource, "event_types": EventType}
    model: Any = next((models[p] for p in reversed(parents) if p in models), Mapping)
    return f"{where}: unknown key; {hint(str(last), list(model.model_fields))}"
