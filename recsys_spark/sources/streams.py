"""The bytes of a file on their way in: hashed once, unpacked, decoded so that bad bytes stay visible."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, TextIO

GZIP_MAGIC = b"\x1f\x8b"


class FileFaultError(Exception):
    """The file as a whole cannot be trusted; never leaves the worker."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Digest(io.RawIOBase):
    """Passes a stream's bytes on, hashed and counted on the way: a file is read once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.num_bytes = 0

    def readable(self) -> bool:
        """Always: it is there to be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, note what went into it."""
        data = self._stream.read(len(buffer))
        self._hash.update(data)
        self.num_bytes += len(data)
        buffer[: len(data)] = data
        return len(data)

    def sha256(self) -> str:
        """Of every byte of the file, those not yet read included."""
        while self.read(1 << 20):
            pass
        return self._hash.hexdigest()


@contextmanager
def opened_text(digest: Digest, encoding: str) -> Iterator[TextIO]:
    """The file as text: gzip unpacked, a byte order mark dropped, bad bytes as lone surrogates.

    Raises:
        FileFaultError: inside the block, when the gzip or the encoding turns out to be damaged.
    """
    buffered = io.BufferedReader(digest, 1 << 20)
    packed = buffered.peek(2)[:2] == GZIP_MAGIC
    plain: Any = gzip.GzipFile(fileobj=buffered) if packed else buffered
    codec = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    try:
        yield io.TextIOWrapper(plain, codec, errors="surrogateescape", newline="")
    except EOFError:
        raise FileFaultError(
            "file_truncated", "the gzip stream ends too early; have the file sent again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise FileFaultError("file_damaged", f"not a sound gzip stream: {error}") from None
    except UnicodeError:
        raise FileFaultError("file_bad_encoding", f"the bytes are not {encoding} text") from None


def is_sound(text: str) -> bool:
    """Whether every byte of the decoded text was a character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def readable(text: str) -> str:
    """The text with every byte that was no character written as \\xNN."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a surrogate pair, spelled out in JSON
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
