"""Say what is odd about the photo of a digit: a net for digits answers whatever it is shown. Needs no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convatlas.images.preprocessing import CONTRAST, Preprocessing
from convatlas.weights.lineage import Lineage

DIGITS = tuple("0123456789")

BLANK = "there is nothing to read: no ink stands out from the paper (what is transparent is white)"
FRAMED = "a frame surrounds the paper: cut it off"
SMALL = "the digit fills only {size} of {side} pixels: cut the photo so that it fills about {right}, in the centre"


def digit_notes(lineage: Lineage, x: NDArray[np.float32]) -> tuple[str, ...]:
    """Return notes on an input (C, h, w) of a net with a lineage; none if the net is not for light ink on black."""
    preprocessing = lineage.preprocessing
    if not isinstance(preprocessing, Preprocessing) or preprocessing.polarity == "as is":
        return ()
    levels = preprocessing.to_pixels(x)[:, :, 0]
    if levels.max() < CONTRAST:
        return (BLANK,)
    if tuple(lineage.class_names) != DIGITS:
        return ()
    height, width = levels.shape
    side = min(height, width, preprocessing.resize or height)
    top, left = (height - side) // 2, (width - side) // 2
    # Without what was padded with black.
    levels = levels[top : top + side, left : left + side]
    ink = levels >= max(CONTRAST, levels.max() / 2)
    if not ink.any():
        return (BLANK,)
    rows, columns = np.nonzero(ink)
    inner = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    edge = np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])
    # Paper in a frame has straight sides, and is wider than strokes are.
    if ink.mean() > 0.5 or (min(inner.shape) > side / 2 and edge.mean() > 0.75):
        return (FRAMED,)
    size = max(inner.shape)
    return (SMALL.format(size=size, side=side, right=round(side * 20 / 28)),) if size < side / 2 else ()
