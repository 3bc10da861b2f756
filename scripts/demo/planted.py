"""A small shop of films with a known answer: after a film, people see the next unseen ones of its series.

Each genre is a ring of films. After film i of a genre a user sees, four times out of five, one of the next
unseen films of that ring (the first most often), otherwise any unseen film. So the best list anybody can make
starts with the next unseen films after the user's last one: `successors`. A good sequence model finds this
rule; popularity cannot. A few dirty rows come with every night.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable
from pathlib import Path

import numpy as np

GENRES = ("Comedy", "Drama", "Horror", "Musical", "Mystery", "Romance", "Thriller", "Western")
RING = 40  # films in a genre
USERS = 600
STEP = (0.4, 0.3, 0.2, 0.1)  # chance of the first, second, ... next unseen film
STAY = 0.8  # chance to stay in the ring

DIRTY = (
    ("", "Comedy-001", "2024-01-01T10:00:00Z", "4"),  # null id
    ("u0001", "Comedy-001", "yesterday", "4"),  # unparsable time
    ("u0002", "Comedy-002", "2199-01-01T10:00:00Z", "4"),  # time in the future
    ("u0003", "Comedy-003", "2024-01-01T10:00:00Z", "NaN"),  # not a number
)


def successors(item: str, seen: Iterable[str], count: int) -> list[str]:
    """The planted rule: the next `count` unseen films of the ring after `item`."""
    genre, number = item.split("-")
    known = set(seen)
    ring = [f"{genre}-{(int(number) + step) % RING:03d}" for step in range(1, RING)]
    return [film for film in ring if film not in known][:count]


def write(
    folder: Path,
    first_night: dt.date,
    nights: int,
    backfill_days: int = 60,
    seed: int = 7,
    users: int = USERS,
    genres: tuple[str, ...] = GENRES,
) -> None:
    """Write catalogue.csv, users.csv and one events file a night; the first holds the days before, too."""
    rng = np.random.default_rng(seed)
    films = [f"{genre}-{number:03d}" for genre in genres for number in range(RING)]
    start = first_night - dt.timedelta(days=backfill_days)
    events = _simulate(rng, start, backfill_days + nights, users, films)
    for night in range(nights):
        run_date = first_night + dt.timedelta(days=night)
        rows = [
            row
            for row in events
            if row[2][:10] == str(run_date) or (night == 0 and row[2][:10] < str(run_date))
        ]
        rows += [rows[len(rows) // 2], *DIRTY]  # one event twice
        _csv(folder / "events" / f"{run_date}.csv", ("user", "film", "at", "stars"), rows)
    _csv(
        folder / "catalogue.csv",
        ("film", "title", "genres", "price"),
        [(film, _title(film), film.split("-")[0], f"{2 + len(film) % 3}.50") for film in films],
    )
    countries = ("DE", "FR", "PL")
    known = [(f"u{user:04d}", countries[user % 3]) for user in range(users)]
    _csv(folder / "users.csv", ("user", "country"), [*known, ("new visitor, café ☕", "DE")])


def _simulate(
    rng: np.random.Generator, start: dt.date, days: int, users: int, films: list[str]
) -> list[tuple[str, str, str, str]]:
    last = rng.choice(films, users)
    seen: list[set[str]] = [set() for _ in range(users)]
    rows = []
    for day in range(days):
        date = start + dt.timedelta(days=day)
        for user in range(users):
            moments = np.sort(rng.choice(86_400, rng.poisson(0.7), replace=False))
            for second in moments:
                film = _next(rng, films, str(last[user]), seen[user])
                seen[user].add(film)
                last[user] = film
                at = dt.datetime.combine(date, dt.time()) + dt.timedelta(seconds=int(second))
                rows.append((f"u{user:04d}", film, f"{at.isoformat()}Z", str(rng.integers(1, 6))))
    return rows


def _next(rng: np.random.Generator, films: list[str], last: str, seen: set[str]) -> str:
    if rng.random() < STAY:
        ahead = successors(last, seen, len(STEP))
        if len(ahead) == len(STEP):
            return str(rng.choice(ahead, p=STEP))
    unseen = [film for film in films if film not in seen]
    return str(rng.choice(unseen))


def _title(film: str) -> str:
    genre, number = film.split("-")
    return f"The {genre} Tales, Part {int(number) + 1} ({1980 + int(number)})"


def _csv(path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
