"""Tell which shipped mapping reads a folder, and the day of its last event."""

from __future__ import annotations

import csv
import datetime as dt
import sys
from collections.abc import Iterator
from pathlib import Path

# file that tells the layout, mapping, delimiter, header lines, columns of user and time
LAYOUTS = (
    ("ratings.csv", "movielens_csv", ",", 1, 0, 3),
    ("ratings.dat", "movielens_1m", "::", 0, 0, 3),
    ("u.data", "movielens_100k", "\t", 0, 0, 3),
    ("*.inter", "recbole", "\t", 1, 0, 3),
)


def recognise(data: Path) -> tuple[str, dt.date]:
    """The mapping's name and the UTC day of the newest event."""
    mapping, rows, _, at = _open(data)
    newest = max(float(row[at]) for row in rows)
    return mapping, dt.datetime.fromtimestamp(newest, dt.UTC).date()


def some_user(data: Path, mapping: str) -> str:
    """The user of the file's first line."""
    _, rows, user, _ = _open(data)
    return next(rows)[user]


def _open(data: Path) -> tuple[str, Iterator[list[str]], int, int]:
    for pattern, mapping, delimiter, header, user, at in LAYOUTS:
        for path in sorted(data.glob(pattern)):
            return mapping, _rows(path, delimiter, header), user, at
    known = ", ".join(layout[0] for layout in LAYOUTS)
    sys.exit(
        f"demo: {data}: none of {known} there; for your own files write a mapping (README, Your own data) and run "
        "recsys-spark nightly"
    )


def _rows(path: Path, delimiter: str, header: int) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for _ in range(header):
            next(file)
        if len(delimiter) == 1:
            yield from csv.reader(file, delimiter=delimiter)
        else:
            yield from (line.rstrip("\n").split(delimiter) for line in file)
