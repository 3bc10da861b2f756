"""Compiled functions work where their machine code can be kept, and where it cannot."""

from __future__ import annotations

from typing import Any

from recsys_spark.compiled import compiled, compiled_for_numbers


def test_a_function_whose_code_cannot_be_kept_is_compiled_all_the_same() -> None:
    scope: dict[str, Any] = {}
    exec("def add(a, b):\n    return a + b", scope)  # it has no file, so no cache folder either
    assert compiled(scope["add"])(1, 2) == 3
    assert compiled_for_numbers(scope["add"])(1.5, 2.5) == 4.0
