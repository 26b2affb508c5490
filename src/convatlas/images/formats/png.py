"""Transparent colours of PNG files in the depth of the file, which Pillow compares with pixels of 8 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

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
