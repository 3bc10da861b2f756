"""Millions of made-up events in one file: what a lake holds before the nights that are measured."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np

EVENTS = 5_000_000
USERS = 200_000
ITEMS = 50_000
DAYS = 300
CHUNK = 500_000


def write(
    path: Path, last_day: dt.date, events: int = EVENTS, seed: int = 7, of_one_user: float = 0.0
) -> int:
    """Write a CSV of events of the days up to `last_day`; returns its size in bytes.

    Users and items are skewed as real ones are: a few do most. On top of that, customer 0 has a share of all events.
    """
    rng = np.random.default_rng(seed)
    first = int(dt.datetime.combine(last_day - dt.timedelta(days=DAYS - 1), dt.time(), dt.UTC).timestamp())
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.write("event,user,item,at,stars\n")
        for start in range(0, events, CHUNK):
            size = min(CHUNK, events - start)
            users = (USERS * rng.random(size) ** 2).astype(int)
            items = (ITEMS * rng.random(size) ** 3).astype(int)
            seconds = first + rng.integers(0, DAYS * 86_400, size)
            stars = rng.integers(1, 6, size)
            if of_one_user:
                users[rng.random(size) < of_one_user] = 0
            file.writelines(
                f"event-{start + row:09d},customer-{user:07d},article-{item:07d},{second},{star}\n"
                for row, (user, item, second, star) in enumerate(
                    zip(users.tolist(), items.tolist(), seconds.tolist(), stars.tolist(), strict=True)
                )
            )
    return path.stat().st_size
