"""What pyarrow and NumPy removed since petastorm 0.13.1, put back before petastorm is imported.

Imported by `petastorm_adapter` alone. Only names are added, and only where they are absent.
"""

from __future__ import annotations

import sys
import types
from importlib.metadata import version

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs

SUPPORTED = "0.13.1"

if version("petastorm") != SUPPORTED:
    raise ImportError(
        f"petastorm {version('petastorm')}: the adapter knows {SUPPORTED} only; install that one"
    )


def _stand_in(name: str, **names: object) -> None:
    if name in sys.modules:
        return
    module = types.ModuleType(name)
    module.__dict__.update(names)
    sys.modules[name] = module
    setattr(pa, name.rpartition(".")[2], module)


_stand_in("pyarrow.filesystem", LocalFileSystem=pafs.LocalFileSystem)
_stand_in("pyarrow.hdfs", HadoopFileSystem=pafs.HadoopFileSystem)
for _module, _name, _value in (
    (pa, "localfs", pafs.LocalFileSystem()),
    (pa.lib, "ArrowIOError", OSError),
    (np, "unicode_", np.str_),
    (np, "string_", np.bytes_),
):
    if _name not in vars(_module):
        setattr(_module, _name, _value)
