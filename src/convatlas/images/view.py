"""Map positions on a net's input to positions on the photo that it shows, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Position = Any
"""A position along an axis: a number, a `Fraction` (mapped exactly), or an array of numbers."""


@dataclass(frozen=True)
class Axis:
    """One axis of a view: the range of the photo that is resized, to how many pixels, and which of them are shown.

    Attributes:
        photo: Length of the photo in pixels.
        input: Length of the input in pixels.
        start: First pixel of the photo that is resized.
        length: How many pixels of the photo are resized.
        resized: Number of pixels that they are resized to.
        offset: Index among the resized pixels of the input's first one; negative if the input begins with padding.
        corners: Whether resizing aligns the centres of the corner pixels, as darknet does, instead of the outer edges,
            as Pillow does.
    """

    photo: int
    input: int
    start: int
    length: int
    resized: int
    offset: int
    corners: bool = False

    def to_photo(self, position: Position) -> Position:
        """Map a position on the input to the photo."""
        position = position + self.offset
        scale, over, centre = self._scale
        return ((2 * position - centre) * scale / over + centre) / 2 + self.start

    def to_input(self, position: Position) -> Position:
        """Map a position on the photo to the input."""
        scale, over, centre = self._scale
        return ((2 * (position - self.start) - centre) * over / scale + centre) / 2 - self.offset

    @property
    def shown(self) -> tuple[int, int]:
        """Pixels of the input that show the photo: the first one, and the one after the last."""
        return max(0, -self.offset), min(self.input, self.resized - self.offset)

    @property
    def _scale(self) -> tuple[int, int, int]:
        """Scale from resized to original pixels, as a fraction, and twice the position that resizing keeps fixed."""
        # A single pixel has no two corners to align: its outer edges are aligned instead.
        if self.corners and self.length > 1:
            return self.length - 1, max(self.resized - 1, 1), 1
        return self.length, self.resized, 0


@dataclass(frozen=True)
class View:
    """The part of one photo that a net's input shows, as `Preprocessing.view` returns it.

    Positions are in pixels from the top and left edges of the photo or of the input: the pixel in row 3 covers 3 to 4,
    and its centre is 3.5. A position is a number, a `Fraction` (mapped exactly) or an array of numbers.

    Attributes:
        rows: The vertical axis.
        columns: The horizontal axis.
    """

    rows: Axis
    columns: Axis

    def to_photo(self, row: Position, column: Position) -> tuple[Position, Position]:
        """Map a position on the input to the photo; it lies outside of the photo where the input shows padding."""
        return self.rows.to_photo(row), self.columns.to_photo(column)

    def to_input(self, row: Position, column: Position) -> tuple[Position, Position]:
        """Map a position on the photo to the input; it lies outside of the input where the photo is cropped."""
        return self.rows.to_input(row), self.columns.to_input(column)

    def shows_photo(self, row: Position, column: Position) -> Any:
        """Whether the input shows the photo, and not padding, at a position (bool, or an array of bool)."""
        x1, y1, x2, y2 = self.shown
        return (row >= y1) & (row < y2) & (column >= x1) & (column < x2)

    @property
    def shown(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the photo on the input; the rest of the input is padding."""
        (y1, y2), (x1, x2) = self.rows.shown, self.columns.shown
        return x1, y1, x2, y2

    @property
    def visible(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the part of the photo that the input shows, in pixels of the photo."""
        x1, y1, x2, y2 = self.shown
        start, end = self.to_photo(y1, x1), self.to_photo(y2, x2)
        height, width = float(self.rows.photo), float(self.columns.photo)
        return max(start[1], 0.0), max(start[0], 0.0), min(end[1], width), min(end[0], height)
