"""Settings from several places, as nested plain values: files, the environment, the command line.

In files, mappings are merged. A setting that the environment or the command line names is replaced, be it a list or
a mapping whose keys are the user's; of a section only the keys that are named change.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import yaml
from pydantic import BaseModel

from recsys_spark.errors import SettingsError


class Change(NamedTuple):
    """One setting that is named outside a file.

    Attributes:
        name: how it is named there, for messages.
        path: the keys that lead to it.
        text: its value, as YAML.
    """

    name: str
    path: tuple[str, ...]
    text: str


def of_files(files: Iterable[Path]) -> dict[str, Any]:
    """What the files say, the later ones winning key by key.

    Raises:
        SettingsError: a file is not YAML, or holds something else than sections.
    """
    settings: dict[str, Any] = {}
    for file in files:
        content = _read(f"settings file {file}", file.read_text(encoding="utf-8")) or {}
        if not isinstance(content, dict):
            raise SettingsError(f"settings file {file}: expected sections, got {str(content)[:80]!r}")
        settings = _merged(settings, content)
    return settings


def of_environment(environment: Mapping[str, str], prefix: str) -> list[Change]:
    """PREFIX__TRAIN__EPOCHS names train.epochs; whole sections come before their keys."""
    parts = {name: name.lower().split("__") for name in environment}
    paths = {name: tuple(path) for name, (first, *path) in parts.items() if path and first == prefix.lower()}
    return [
        Change(name, paths[name], environment[name])
        for name in sorted(paths, key=lambda n: (len(paths[n]), n))
    ]


def of_options(options: Iterable[str]) -> list[Change]:
    """What `section.key=value` names.

    Raises:
        SettingsError: there is no equals sign.
    """
    changes = []
    for option in options:
        path, equals, text = option.partition("=")
        if not equals:
            raise SettingsError(f"--set {option}: expected section.key=value")
        changes.append(Change(f"--set {path}", tuple(path.split(".")), text))
    return changes


def changed(settings: dict[str, Any], changes: Iterable[Change], model: type[BaseModel]) -> dict[str, Any]:
    """The settings after the changes, one after the other; `model` says what is a section.

    Raises:
        SettingsError: a value is not YAML, or a path leads through something that has no keys.
    """
    for change in changes:
        settings = _with(settings, change.path, change, model)
    return settings


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return old | {key: _merged(old.get(key), value) for key, value in new.items()}


def _with(old: Any, path: tuple[str, ...], change: Change, kind: Any) -> Any:
    if not path:
        value = _read(change.name, change.text)
        is_text = kind is str and isinstance(value, (int, float, dt.date))
        return change.text if is_text else _replaced(old, value, kind)
    if old is not None and not isinstance(old, dict):
        depth = len(change.path) - len(path)
        raise SettingsError(
            f"{change.name}: {'.'.join(change.path[:depth])} is {str(old)[:80]!r}, which has no keys"
        )
    # Where nothing lies deeper, the rest is one key: names of Spark's settings hold dots.
    key, *rest = (".".join(path),) if _is_flat(kind) else path
    return (old or {}) | {key: _with((old or {}).get(key), tuple(rest), change, _kind_below(kind, key))}


def _replaced(old: Any, new: Any, kind: Any) -> Any:
    if not _is_section(kind) or not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return old | {key: _replaced(old.get(key), value, _kind_below(kind, key)) for key, value in new.items()}


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_flat(kind: Any) -> bool:
    return get_origin(kind) is dict and not _is_section(get_args(kind)[1])


def _kind_below(kind: Any, key: Any) -> Any:
    if _is_section(kind):
        field = kind.model_fields.get(key)
        return field and field.annotation
    return get_args(kind)[1] if get_origin(kind) is dict else None


def _read(name: str, text: str) -> Any:
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise SettingsError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
