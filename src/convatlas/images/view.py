"""Which part of a photo a net's input shows: places on the input as places on the photo, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Place = Any
"""A place along an axis: a number, a `Fraction` (mapped exactly), or an array of numbers."""


@dataclass(frozen=True)
class Axis:
    """One axis of a view: which pixels of the photo are resized to how many, and which of these the input shows.

    Attributes:
        photo: Length of the photo in pixels.
        input: Length of the input in pixels.
        start: First pixel of the photo that is resized.
        length: How many pixels of the photo are resized.
        resized: To how many pixels.
        offset: Which of the resized pixels is the input's first; negative where the input begins with border.
        corners: Whether resizing puts the centres of the first and of the last pixel on each other, as darknet does;
            otherwise the outer edges, as Pillow does.
    """

    photo: int
    input: int
    start: int
    length: int
    resized: int
    offset: int
    corners: bool = False

    def to_photo(self, place: Place) -> Place:
        """Map a place on the input to the photo."""
        place = place + self.offset
        scale, over, centre = self._scale
        return ((2 * place - centre) * scale / over + centre) / 2 + self.start

    def to_input(self, place: Place) -> Place:
        """Map a place on the photo to the input."""
        scale, over, centre = self._scale
        return ((2 * (place - self.start) - centre) * over / scale + centre) / 2 - self.offset

    @property
    def shown(self) -> tuple[int, int]:
        """First pixel of the input that shows the photo, and the one behind the last."""
        return max(0, -self.offset), min(self.input, self.resized - self.offset)

    @property
    def _scale(self) -> tuple[int, int, int]:
        """Pixels of the photo for how many of the input, and twice the place that resizing leaves where it is."""
        # A single pixel has no second corner: its edges are put on those of what it is resized to.
        if self.corners and self.length > 1:
            return self.length - 1, max(self.resized - 1, 1), 1
        return self.length, self.resized, 0


@dataclass(frozen=True)
class View:
    """The view of one photo that a net's input shows; `Preprocessing.view` gives it.

    Places are in pixels from the top and left edges, of the photo or of the input: the pixel in row 3 covers 3 to 4,
    and its centre is 3.5. A place is a number, a `Fraction` (mapped exactly) or an array of numbers.

    Attributes:
        rows: The vertical axis.
        columns: The horizontal one.
    """

    rows: Axis
    columns: Axis

    def to_photo(self, row: Place, column: Place) -> tuple[Place, Place]:
        """Map a place on the input to its place on the photo; beyond the photo's edges where the input shows border."""
        return self.rows.to_photo(row), self.columns.to_photo(column)

    def to_input(self, row: Place, column: Place) -> tuple[Place, Place]:
        """Map a place on the photo to its place on the input; beyond the input's edges where it is cropped away."""
        return self.rows.to_input(row), self.columns.to_input(column)

    def shows_photo(self, row: Place, column: Place) -> Any:
        """Whether the input shows the photo at a place (bool, or an array of bool), and not border."""
        x1, y1, x2, y2 = self.shown
        return (row >= y1) & (row < y2) & (column >= x1) & (column < x2)

    @property
    def shown(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the photo on the input; the rest of the input is border."""
        (y1, y2), (x1, x2) = self.rows.shown, self.columns.shown
        return x1, y1, x2, y2

    @property
    def visible(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the part of the photo that the input shows, in pixels of the photo."""
        x1, y1, x2, y2 = self.shown
        start, end = self.to_photo(y1, x1), self.to_photo(y2, x2)
        height, width = float(self.rows.photo), float(self.columns.photo)
        return max(start[1], 0.0), max(start[0], 0.0), min(end[1], width), min(end[0], height)
