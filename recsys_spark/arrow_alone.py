"""Arrow without NumPy and pandas, for a process that only looks into the lake.

pyarrow imports both where they are to be had, to know their values when it meets them. That is half of the time that
`recsys-spark show` takes (.76 seconds of CPU with them, .40 without), and there are none of their values here.
"""

from __future__ import annotations

import importlib.abc
import sys
from typing import Any


class _Neither(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name in ("numpy", "pandas"):
            raise ModuleNotFoundError(name)


def enforce() -> None:
    """From now on neither can be imported in this process."""
    sys.meta_path.insert(0, _Neither())
