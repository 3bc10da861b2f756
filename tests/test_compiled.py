"""Compiled functions work where their machine code can be kept, and where it cannot."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from recsys_spark.compiled import compiled


def test_a_function_whose_code_cannot_be_kept_is_compiled_all_the_same() -> None:
    scope: dict[str, Any] = {}
    exec("def add(a, b):\n    return a + b", scope)  # it has no file, so no cache folder either
    assert compiled(scope["add"])(1, 2) == 3


def test_a_function_in_an_archive_is_compiled_where_the_cache_folder_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        archive.writestr("in_an_archive.py", "def add(a, b):\n    return a + b\n")
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "code.zip"), *sys.path])
    import in_an_archive  # type: ignore[import-not-found]

    assert compiled(in_an_archive.add)(1, 2) == 3
