"""Windows with a planted rule, as the feed hands them to the network."""

from __future__ import annotations

from typing import Any

import numpy as np

V, L, POPULAR = 42, 8, 2


def batch(items: Any) -> dict[str, np.ndarray]:
    """Events one hour apart, all of type 1, value 3, weight 1; every event but the first is a target."""
    items = np.asarray(items, np.int32)
    is_event = items > 0
    is_later = is_event & (np.cumsum(is_event, axis=1) > 1)
    return {
        "items": items,
        "types": is_event.astype(np.int32),
        "values": np.where(is_event, 3, 0).astype(np.float32),
        "gaps": np.where(is_later, 3600, 0).astype(np.int32),
        "weights": is_event.astype(np.float32),
        "mask": is_later.astype(np.int32),
    }


def walks(num: int) -> np.ndarray:
    """After item i comes i + 1 (from 40 back to 3), but every fourth event is the popular item."""
    starts = 3 + np.arange(num) % 38
    steps = 3 + (starts[:, None] - 3 + np.arange(L + 1)) % 38
    steps[:, 3::4] = POPULAR
    return steps
