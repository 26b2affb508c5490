"""Open only ordinary files, not folders, pipes or devices, and only after a check of their size."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

MAX_WEIGHTS = 4 << 30
"""Largest file of weights in bytes; the largest net's, ConvNeXt-XL with its optimizer, is half as large."""

MAX_TABLE = 1 << 30
"""Largest list of photos or labels in bytes: ten million names."""

MAX_NOTES = 64 << 20
"""Largest file of results or settings that convatlas writes, in bytes."""

MAX_SETTINGS = 256 << 10
"""Largest file of settings that people write, in bytes."""


@contextmanager
def opened(path: str | os.PathLike[str], limit: int) -> Iterator[tuple[io.BufferedReader, int]]:
    """Open an ordinary file of up to `limit` bytes, and give it with its size.

    Raises:
        OSError: It cannot be opened, is a folder, a pipe, a device or a socket, or is larger than `limit`.
    """
    # A pipe without a writer would block; it must be opened to be examined, or it might be exchanged in between.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not an ordinary file", str(path))
        if status.st_size > limit:
            raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, of which {limit:,} are allowed", str(path))
        yield file, status.st_size


def check_file(path: str | os.PathLike[str], limit: int) -> int:
    """Return the size of an ordinary file of up to `limit` bytes; raise an OSError as `opened` does if it is none."""
    with opened(path, limit) as (_, size):
        return size


def read_bytes(path: str | os.PathLike[str], limit: int = MAX_NOTES) -> bytes:
    """Read an ordinary file of up to `limit` bytes; raise an OSError as `opened` does if it is none."""
    with opened(path, limit) as (file, size):
        data = file.read(size + 1)
    if len(data) != size:
        raise OSError(errno.EIO, "it changed while it was read", str(path))
    return data


def read_text(path: str | os.PathLike[str], limit: int = MAX_NOTES, encoding: str = "utf-8") -> str:
    """Read an ordinary text file of up to `limit` bytes.

    Raises:
        OSError: As `opened` does.
        ValueError: It is not text in this encoding.
    """
    return read_bytes(path, limit).decode(encoding)


def reason(error: OSError | ValueError) -> str:
    """Return why a file could not be read, without its name."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).partition("\n")[0]
