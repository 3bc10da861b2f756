"""Rows as a grid on a terminal."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

output = Console(width=None if sys.stdout.isatty() else 200)


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """The title and the rows below it; a column without a value is left out."""
    output.print(f"\n{title}" if rows else f"\n{title}: nothing", markup=False)
    names = dict.fromkeys(name for row in rows for name in row if row[name] is not None)
    grid = Table()
    for name in names:
        is_number = isinstance(rows[0].get(name), (int, float))
        grid.add_column(name, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*map(_text, (row.get(name) for name in names)))
    if rows:
        output.print(grid)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else escape(str(value))
