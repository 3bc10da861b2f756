"""Machine code for the few loops that NumPy has no words for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile at the first call, and let other threads run meanwhile: the function does not hold the GIL.

    The machine code is kept in `__pycache__` or, where that cannot be written, in the user's cache folder;
    where neither can, each process compiles for itself.
    """
    try:
        made: Function = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder to keep it in
        made = numba.njit(nogil=True)(function)
    return made
