"""Machine code for the few loops that NumPy has no words for.

A compiled function and all that it calls stand in one file: kept machine code is made anew only when its own file
changes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile at the first call, and let other threads run meanwhile: the function does not hold the GIL.

    Floating-point operations keep their order. The machine code is kept in `__pycache__` or, where that
    cannot be written, in the user's cache folder. Where neither can, and for a module in an archive that
    Spark sent, each process compiles for itself.
    """
    # Of an archive, numba would keep the code in the user's cache folder and fail at the first call where it
    # cannot write; and never find it again, as the archive's path is another one in each executor.
    is_file = Path(inspect.getfile(function)).is_file()
    try:
        ready: Function = numba.njit(nogil=True, cache=is_file)(function)
    except RuntimeError:  # no folder to keep it in
        ready = numba.njit(nogil=True)(function)
    return ready
