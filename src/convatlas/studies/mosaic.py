"""Put small grey pictures side by side into one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

SCALE, GAP, SHADE = 2, 2, 255
"""Enlargement of each picture, space between two pictures in pixels, and its grey level."""


def mosaic(rows: Sequence[Sequence[Tensor]]) -> NDArray[np.uint8]:
    """Return rows of pictures (h, w) of values in 0..1 as pixels, 0 black; all pictures have one size."""
    height, width = rows[0][0].shape
    down, right = height * SCALE + GAP, width * SCALE + GAP
    pixels = np.full((len(rows) * down + GAP, max(map(len, rows)) * right + GAP), SHADE, np.uint8)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            values = np.rint(255 * picture.detach().double().cpu().numpy().clip(0, 1)).astype(np.uint8)
            top, left = row * down + GAP, column * right + GAP
            pixels[top : top + down - GAP, left : left + right - GAP] = values.repeat(SCALE, 0).repeat(SCALE, 1)
    return pixels
