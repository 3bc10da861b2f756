"""Ports for processes that a test starts."""

from __future__ import annotations

import contextlib
import random
import socket


def free(num: int) -> list[int]:
    """Ports below those that a system gives to whoever asks for any: nobody takes them before the process does."""
    found: list[int] = []
    for port in random.sample(range(20_000, 32_000), 1000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == num:
            break
    return found
