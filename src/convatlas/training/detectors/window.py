"""Windows of photos with boxes: random shifts and scales, and flips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convatlas.images.decoding import Pixels

GREY = 128
"""Level outside of the photo, as around a letterboxed one."""

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """A part of a photo, or a larger area with the photo in it, perhaps flipped afterwards.

    Attributes:
        left: First column of the photo in the window; negative if there is grey to its left.
        top: First row, likewise.
        width: Width in pixels of the photo.
        height: Height, likewise.
        flipped: Whether the window is flipped horizontally.
    """

    left: int
    top: int
    width: int
    height: int
    flipped: bool

    def cut(self, photo: Pixels) -> Pixels:
        """Return the window of a photo (H, W, 3); what lies outside of it is grey."""
        rows, columns = photo.shape[:2]
        pixels = np.full((self.height, self.width, 3), GREY, np.uint8)
        top, bottom = max(self.top, 0), min(self.top + self.height, rows)
        left, right = max(self.left, 0), min(self.left + self.width, columns)
        pixels[top - self.top : bottom - self.top, left - self.left : right - self.left] = photo[top:bottom, left:right]
        return np.ascontiguousarray(pixels[:, ::-1]) if self.flipped else pixels

    def move(self, boxes: Boxes, size: tuple[int, int]) -> Boxes:
        """Return the boxes in the window, as shares of its sides.

        Boxes are cut off at its edges; those whose centre lies outside are dropped (Liu et al. 2016, section 2.2).

        Args:
            boxes: Class and corners as shares of the photo's sides (n, 5).
            size: Height and width of the photo in pixels.
        """
        moved = boxes.copy()
        moved[:, 1::2] = (boxes[:, 1::2] * size[1] - self.left) / self.width
        moved[:, 2::2] = (boxes[:, 2::2] * size[0] - self.top) / self.height
        if self.flipped:
            moved[:, [1, 3]] = 1 - moved[:, [3, 1]]
        centres = (moved[:, 1:3] + moved[:, 3:]) / 2
        moved = moved[((centres >= 0) & (centres < 1)).all(1)]
        moved[:, 1:] = moved[:, 1:].clip(0, 1)
        return moved


def draw_window(size: tuple[int, int], scale: float, hflip: float, random: np.random.Generator) -> Window:
    """Draw a window of a photo of `size`.

    Each side is that of the photo times a factor between the root of `scale` and its inverse, equally likely on a log
    scale; the two differ by at most a fifth. The window lies anywhere in the photo, or the photo in the window.

    Args:
        size: Height and width of the photo in pixels.
        scale: Smallest share of the photo's area in the window; 1 for the whole photo.
        hflip: Probability of a flip.
        random: Source of the random numbers; equally many are drawn whatever the settings.
    """
    zoom, shape, down, across, flip = random.random(5)
    factor, ratio = scale ** (zoom - 0.5), min(1.2, 1 / scale) ** (shape - 0.5)
    height, width = (max(1, round(side * factor)) for side in (size[0] * ratio**0.5, size[1] / ratio**0.5))
    top, left = round(down * (size[0] - height)), round(across * (size[1] - width))
    return Window(left, top, width, height, bool(flip < hflip))
