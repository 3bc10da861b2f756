"""Print by how much loading a model of many items raises this process's own memory, in bytes; run by a test.

Arguments: two folders, a small model's and a large one's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from windows import L, batch, walks

from recsys_spark.models import self_attention


def own_memory() -> int:
    """Bytes that no file backs: pages of a memory map do not count."""
    status = Path("/proc/self/status").read_text().splitlines()
    [kibibytes] = [line.split()[1] for line in status if line.startswith("RssAnon")]
    return int(kibibytes) * 1024


def loaded(folder: str) -> tuple[object, int]:
    encode = self_attention.encoder(Path(folder), 1)
    assert np.isfinite(encode(batch(walks(300)[:, :L]))).all()
    return encode, own_memory()


if __name__ == "__main__":
    small, before = loaded(sys.argv[1])
    large, after = loaded(sys.argv[2])
    print(after - before)
