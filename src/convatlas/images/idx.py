"""IDX, the format of MNIST's files: a magic number, the sides, then bytes (LeCun, Cortes & Burges 1998)."""

from __future__ import annotations

import gzip
import math
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convatlas.base.errors import ImageError

BYTES = 0x08
"""The format's number for elements that are unsigned bytes; MNIST and its kin have no others."""

LIMIT = 1 << 30
"""Bytes that a file may hold: twenty times MNIST."""

GZIP = b"\x1f\x8b"


def read_idx(file: str | Path | bytes) -> NDArray[np.uint8]:
    """The array that an IDX file of unsigned bytes holds: (N,) for labels, (N, H, W) for photos.

    Args:
        file: A path or the bytes, as they are or packed by gzip.

    Raises:
        ImageError: It cannot be read, or is no such file: what its header says and its length do not agree.
    """
    name = "the IDX data" if isinstance(file, bytes) else repr(str(file))
    data = unpacked(_content(file, name), name)
    zeros, kind, sides = data[:2], data[2:3], data[3] if len(data) > 3 else 0
    if zeros != b"\0\0" or kind != bytes([BYTES]) or not 1 <= sides <= 4:
        raise ImageError(f"{name} is no IDX file of unsigned bytes: it begins with {data[:4].hex(' ') or 'nothing'}")
    start = 4 + 4 * sides
    if len(data) < start:
        raise ImageError(f"{name} ends within its header")
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4))
    # In whole numbers of Python: a product of four sides may exceed any of numpy's.
    if math.prod(shape) != len(data) - start:
        said = " x ".join(map(str, shape))
        raise ImageError(f"{name} announces {said} bytes, but {len(data) - start:,} follow")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def unpacked(data: bytes, name: str) -> bytes:
    """`data` itself, or what gzip packed in it; ImageError if that is damaged or more than `LIMIT`."""
    if data.startswith(GZIP):
        try:
            with gzip.open(BytesIO(data)) as packed:
                data = packed.read(LIMIT + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise ImageError(f"{name} cannot be unpacked ({error})") from None
    if len(data) > LIMIT:
        raise ImageError(f"{name} holds more than {LIMIT:,} bytes")
    return data


def _content(file: str | Path | bytes, name: str) -> bytes:
    if isinstance(file, bytes):
        return file
    try:
        with open(file, "rb") as opened:
            return opened.read(LIMIT + 1)
    except OSError as error:
        raise ImageError(f"{name} cannot be read ({error.strerror})") from None
