"""The exact top-N kernel of one scoring process beside the bare matrix product, faiss and a plain argpartition.

Settings as in a night: 20,000 items, dim 64, top 100, seen items left out. One thread each, as in a worker. faiss has
no filter of a user's own: it is asked for so many more as a user has seen, and those are taken out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from recsys_spark.ranking.top_n import candidates, top_n

DIM, TOP, SEEN, BLOCK = 64, 100, 90, 256


class Size(NamedTuple):
    items: int = 20_000
    users: int = 2_048
    repeats: int = 5


TINY = Size(items=1_000, users=512, repeats=1)


def seconds(run: Callable[[], Any], repeats: int) -> float:
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="so small that it shows only that it runs")
    num_items, num_users, repeats = TINY if parser.parse_args().tiny else Size()
    rng = np.random.default_rng(1)
    items = rng.normal(size=(num_items, DIM)).astype(np.float32)
    users = rng.normal(size=(num_users, DIM)).astype(np.float32)
    seen_rows = np.repeat(np.arange(num_users), SEEN)
    seen_items = np.concatenate(
        [np.sort(rng.choice(num_items, SEEN, replace=False)) for _ in range(num_users)]
    )
    allowed = candidates(items, np.ones(num_items, np.bool_))

    def blocks() -> list[tuple[int, np.ndarray, np.ndarray]]:
        return [
            (
                start,
                seen_rows[start * SEEN : (start + BLOCK) * SEEN] - start,
                seen_items[start * SEEN : (start + BLOCK) * SEEN],
            )
            for start in range(0, num_users, BLOCK)
        ]

    def ours() -> list[np.ndarray]:
        return [top_n(users[s : s + BLOCK], allowed, TOP, (rows, idx)).item_idx for s, rows, idx in blocks()]

    scores_of_block = np.empty(
        (BLOCK, num_items), np.float32
    )  # fresh memory for each costs half as much again

    def product() -> None:
        for start in range(0, num_users, BLOCK):
            np.matmul(users[start : start + BLOCK], items.T, out=scores_of_block)

    flat = faiss.IndexFlatIP(DIM)
    flat.add(items)

    def by_faiss() -> list[np.ndarray]:
        _, best = flat.search(users, TOP + SEEN)  # all at once: in blocks of 256 it takes twice as long
        is_seen = np.isin(
            best + num_items * np.arange(num_users)[:, None], seen_items + num_items * seen_rows
        )
        order = np.argsort(is_seen, axis=1, kind="stable")[:, :TOP]
        return [np.take_along_axis(best, order, axis=1)[:BLOCK]]

    def argpartition() -> list[np.ndarray]:
        lists = []
        for start, rows, idx in blocks():
            scores = np.matmul(users[start : start + BLOCK], items.T, out=scores_of_block)
            scores[rows, idx] = -np.inf
            best = np.argpartition(-scores, TOP, axis=1)[:, :TOP]
            order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
            lists.append(np.take_along_axis(best, order, axis=1))
        return lists

    def brute_force() -> list[np.ndarray]:
        lists = []
        for start, rows, idx in blocks()[:1]:
            scores = users[start : start + BLOCK].astype(np.float64) @ items.T.astype(np.float64)
            scores[rows, idx] = -np.inf
            lists.append(
                np.lexsort((np.broadcast_to(np.arange(num_items), scores.shape), -scores), axis=1)[:, :TOP]
            )
        return lists

    def share_equal(lists: list[np.ndarray]) -> float:
        return float(np.mean([np.array_equal(a, b) for a, b in zip(lists[0], brute_force()[0], strict=True)]))

    with threadpool_limits(1):
        shares = {"exact_share": share_equal(ours()), "faiss_exact_share": share_equal(by_faiss())}
        taken = {
            "ours": seconds(ours, repeats),
            "matrix_product": seconds(product, repeats),
            "faiss": seconds(by_faiss, repeats),
            "argpartition": seconds(argpartition, repeats),
        }
    print(
        json.dumps(
            {
                "name": "top_n",
                "settings": {
                    "items": num_items,
                    "dim": DIM,
                    "top": TOP,
                    "users": num_users,
                    "seen": SEEN,
                    "threads": 1,
                },
                "figures": {"users_per_second": round(num_users / taken["ours"]), **shares},
                "ratios": {name: round(taken[name] / taken["ours"], 3) for name in list(taken)[1:]},
            }
        )
    )


if __name__ == "__main__":
    main()
