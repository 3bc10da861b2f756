"""A made-up shop in the layout of Online Retail, one file a night: enough that the trial runs without real data."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path

import numpy as np

FIRST_NIGHT = dt.date(2010, 12, 20)
CUSTOMERS, PRODUCTS, LINES_A_DAY, DAYS_BEFORE = 120, 60, 150, 12
HEADER = (
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"
)  # fmt: skip


def write(folder: Path, nights: int, seed: int = 7) -> None:
    """Write a file for each night; the first holds the days before it, too."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for night in range(nights):
        day = FIRST_NIGHT + dt.timedelta(days=night)
        days = [day - dt.timedelta(days=n) for n in range(DAYS_BEFORE if night == 0 else 1)]
        with (folder / f"{day}.csv").open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            lines.writerow(HEADER)
            lines.writerows(line for one in reversed(days) for line in _lines(rng, one))


def _lines(rng: np.random.Generator, day: dt.date) -> list[tuple[str, ...]]:
    """A day's lines of invoices; one in twenty has no customer, one in twenty is a return."""
    lines = []
    for number in range(LINES_A_DAY):
        customer, product = rng.integers(CUSTOMERS), rng.integers(PRODUCTS)
        kind = number % 20
        lines.append(
            (
                f"{'C' if kind == 1 else ''}{day:%m%d}{customer:04d}",
                f"{10_000 + product}",
                f"PRODUCT {product}",
                str(-1 if kind == 1 else rng.integers(1, 12)),
                f"{day} {8 + number // 15:02d}:{rng.integers(60):02d}:00",
                f"{1 + product / 10:.2f}",
                "" if kind == 0 else f"{12_000 + customer}.0",
                ("United Kingdom", "France")[customer % 2],
            )
        )
    return lines
