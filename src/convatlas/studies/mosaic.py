"""Put small grey pictures side by side into one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

GAP, SHADE = 2, 255
"""Space between two pictures in pixels, and its grey level."""


def mosaic(rows: Sequence[Sequence[Tensor]], scale: int = 2) -> NDArray[np.uint8]:
    """Return rows of pictures (h, w) of values in 0..1 as pixels, 0 black; all pictures have one size.

    Each is enlarged `scale` times.
    """
    height, width = rows[0][0].shape
    down, right = height * scale + GAP, width * scale + GAP
    pixels = np.full((len(rows) * down + GAP, max(map(len, rows)) * right + GAP), SHADE, np.uint8)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            values = np.rint(255 * picture.detach().double().cpu().numpy().clip(0, 1)).astype(np.uint8)
            top, left = row * down + GAP, column * right + GAP
            pixels[top : top + down - GAP, left : left + right - GAP] = values.repeat(scale, 0).repeat(scale, 1)
    return pixels
