"""Read IDX, the format of MNIST's files: a magic number, the shape, then bytes (LeCun, Cortes & Burges 1998)."""

from __future__ import annotations

import gzip
import math
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convatlas.base.errors import ImageError
from convatlas.base.files.reading import read_bytes, reason

BYTES = 0x08
"""IDX's code for unsigned bytes, the only element type of MNIST and similar data sets."""

LIMIT = 1 << 30
"""Largest size of a decompressed file in bytes: twenty times MNIST."""

GZIP = b"\x1f\x8b"


def read_idx(file: str | Path | bytes) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes as an array: (N,) for labels, (N, H, W) for photos.

    Args:
        file: A path or the bytes, plain or gzipped.

    Raises:
        ImageError: It cannot be read, is not an IDX file of unsigned bytes, or its length contradicts its header.
    """
    name = "the IDX data" if isinstance(file, bytes) else repr(str(file))
    data = decompressed(_content(file, name), name)
    zeros, kind, sides = data[:2], data[2:3], data[3] if len(data) > 3 else 0
    if zeros != b"\0\0" or kind != bytes([BYTES]) or not 1 <= sides <= 4:
        raise ImageError(
            f"{name} is not an IDX file of unsigned bytes: it begins with {data[:4].hex(' ') or 'nothing'}"
        )
    start = 4 + 4 * sides
    if len(data) < start:
        raise ImageError(f"{name} ends within its header")
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4))
    # Python's integers, because the product of four sides may overflow NumPy's.
    if math.prod(shape) != len(data) - start:
        sides_text = " x ".join(map(str, shape))
        raise ImageError(f"{name} announces {sides_text} bytes, but {len(data) - start:,} follow")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def decompressed(data: bytes, name: str) -> bytes:
    """Return `data`, decompressed if it is gzipped; raise an ImageError if it is damaged or exceeds `LIMIT`."""
    if data.startswith(GZIP):
        try:
            with gzip.open(BytesIO(data)) as file:
                data = file.read(LIMIT + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise ImageError(f"{name} cannot be decompressed ({error})") from None
    if len(data) > LIMIT:
        raise ImageError(f"{name} holds more than {LIMIT:,} bytes")
    return data


def _content(file: str | Path | bytes, name: str) -> bytes:
    if isinstance(file, bytes):
        return file
    try:
        return read_bytes(file, LIMIT)
    except OSError as error:
        raise ImageError(f"{name} cannot be read ({reason(error)})") from None
