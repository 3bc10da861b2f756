"""In which order an epoch delivers a table's rows: decided by a seed, before anything is read.

Row groups are permuted by (seed, epoch). The permutation is stratified: the groups, in the files' order,
are cut into as many runs as a window holds, and each stretch of the order takes about one group from
every run: in files sorted by label or by time, too, a window is a sample of the whole table, not of a
few places in it. Whole row groups are its grain: on files sorted by a label that a share p of the rows
has, the batches' label means vary at most 1 + B / (4 k^2 p (1 - p)) times as much as after a full shuffle,
for batches of B rows and windows of k groups.

Worker w of W takes the rows [w N / W, (w + 1) N / W) of that order, cut to N // W rows, so that all
workers take equally many steps; at most W - 1 rows are left out, other ones in each epoch. A row group
on an edge is read by both workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Part(NamedTuple):
    """Rows [start, stop) of the row group with number `group` in the table."""

    group: int
    start: int
    stop: int


def epoch_windows(
    group_rows: Sequence[int], window_row_groups: int, seed: int, epoch: int, worker: int, num_workers: int
) -> list[list[Part]]:
    """The windows of one worker's epoch, each at most `window_row_groups` parts, of nearly equal number.

    Args:
        group_rows: rows of each row group, in the files' order; none empty.
    """
    order = _stratified(len(group_rows), window_row_groups, np.random.default_rng([seed, epoch]))
    parts = _range_of(worker, num_workers, order, np.asarray(group_rows, np.int64))
    num_windows = -(-len(parts) // window_row_groups)
    sizes = [len(parts) // num_windows + (n < len(parts) % num_windows) for n in range(num_windows)]
    return [parts[last - size : last] for size, last in zip(sizes, np.cumsum(sizes), strict=True)]


def num_rows(window: Sequence[Part]) -> int:
    """Rows of the window."""
    return sum(part.stop - part.start for part in window)


def places(num: int, seed: int, epoch: int, worker: int, window: int) -> Ints:
    """Where each of the window's `num` rows goes, in the order read: [num]."""
    return np.random.default_rng([seed, epoch, worker, window]).permutation(num)


def _stratified(num_groups: int, window_row_groups: int, random: np.random.Generator) -> Ints:
    """A random permutation in which each window has exactly one group of each run, or misses it."""
    if not num_groups:
        return np.empty(0, np.int64)
    num_windows = -(-num_groups // window_row_groups)
    window_of, num_short = [], 0
    for run in np.array_split(np.arange(num_groups), -(-num_groups // num_windows)):
        windows = np.arange(num_windows)
        if len(run) < num_windows:  # one window misses this run, and all windows miss equally many
            num_short += 1
            windows = np.delete(windows, -num_short % num_windows)
        window_of.append(random.permutation(windows))
    return np.lexsort((random.random(num_groups), np.concatenate(window_of)))


def _range_of(worker: int, num_workers: int, order: Ints, group_rows: Ints) -> list[Part]:
    total = int(group_rows.sum())
    first = worker * total // num_workers
    last = first + total // num_workers
    ends = np.cumsum(group_rows[order])
    parts = []
    for group, end in zip(order.tolist(), ends.tolist(), strict=True):
        begin = end - int(group_rows[group])
        start, stop = max(first, begin) - begin, min(last, end) - begin
        if start < stop:
            parts.append(Part(group, start, stop))
    return parts
