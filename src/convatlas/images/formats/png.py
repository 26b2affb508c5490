"""PNG files that Pillow misreads: transparent colours of another depth than its pixels, and files that lack rows."""

from __future__ import annotations

import os
import struct
import zlib
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from convatlas.base.errors import ImageError

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Numbers of a pixel by the type of colour (PNG specification, 11.2.2)."""

PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column, first row and steps of each pass of an interlaced file (PNG specification, 8.2)."""

BLOCK = 1 << 20
"""Bytes that are decompressed at a time."""

DEEP = "RGB;16B"
"""Pillow's name for colours of 16 bits, of which it reads the higher byte; "RGB;16L" reads the other one."""


def transparent_pixels(image: PngImageFile) -> NDArray[np.bool_] | None:
    """Return which pixels (H, W) of a PNG with 16-bit colours are transparent by its one transparent colour, if any.

    The image is not loaded; afterwards it has no transparent colour any more.
    """
    if not image.tile or image.tile[0].args != DEEP or not isinstance(image.info.get("transparency"), tuple):
        return None
    colour = np.array(image.info.pop("transparency"))
    file = image.fp
    assert file is not None
    position = file.tell()
    transparent = np.ones(image.size[::-1], bool)
    for rawmode, level in ((DEEP, colour >> 8), ("RGB;16L", colour & 255)):
        file.seek(0)
        half = PngImageFile(file)
        half.tile = [half.tile[0]._replace(args=rawmode)]
        transparent &= (np.asarray(half) == level).all(axis=2)
    file.seek(position)
    return transparent


def scale_transparent_grey(image: PngImageFile) -> None:
    """Scale the transparent level of a grey PNG to 8 bits, as Pillow scales the pixels but not this level."""
    depth = image.tile[0].args if image.tile else None
    scale = {"L;2": 85, "L;4": 17}.get(depth) if isinstance(depth, str) else None
    if scale and isinstance(image.info.get("transparency"), int):
        image.info["transparency"] *= scale


def check_rows(image: PngImageFile, file: IO[bytes] | None) -> None:
    """Refuse a loaded PNG whose data ends early: Pillow leaves the rows that are missing black.

    The data is decompressed again only where one of the last two rows, one of which is read last, is zero.

    Args:
        image: The image.
        file: Its file; None if it was loaded before.

    Raises:
        ImageError: Rows are missing.
    """
    last = np.asarray(image.crop((0, max(0, image.height - 2), *image.size)))
    if file is not None and not all(row.any() for row in last) and not _is_whole(file):
        raise ImageError("is damaged: its last rows are missing")


def _is_whole(file: IO[bytes]) -> bool:
    """Whether the compressed data of a PNG gives as many bytes as its header says."""
    file.seek(8)
    missing, inflate = 1, zlib.decompressobj()
    while missing > 0 and len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        after = file.tell() + length + 4
        if kind == b"IHDR":
            missing = _length(*struct.unpack(">IIBBxxB", file.read(13)))
        elif kind == b"IDAT":
            data = file.read(length)
            while data and missing > 0:
                missing -= len(inflate.decompress(data, BLOCK))
                data = inflate.unconsumed_tail
        file.seek(after, os.SEEK_SET)
    return missing - len(inflate.flush()) <= 0


def _length(width: int, height: int, depth: int, colour: int, interlaced: int) -> int:
    """Bytes of all rows, each of which begins with the number of its filter."""
    total = 0
    for column, row, across, down in PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - column) // across), -(-(height - row) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * depth * CHANNELS[colour] // 8))
    return total
