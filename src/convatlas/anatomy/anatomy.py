"""The public `measure` and its record, which draws itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from convatlas.anatomy.drawing.draw import draw
from convatlas.anatomy.measure import measure as measuring
from convatlas.anatomy.measure.records import Measurement
from convatlas.pictures.picture import Picture

P = ParamSpec("P")


class Anatomy(Measurement):
    """Measured figures of a net, and its picture."""

    def draw(self, *, style: str = "blocks", expand: str | None = None, slide: bool = False) -> Picture:
        """Draw the net as a picture, which saves itself as SVG or PNG.

        Args:
            style: "blocks", its stages with their blocks; "boxes", its maps and vectors as LeNet-5 was drawn.
            expand: A stage, or a block in one, to be drawn with every layer by itself.
            slide: Whether the picture has the sides of a slide, 16:9; of a large net it shows less.

        Raises:
            UnknownName: No such style, stage or block.
        """
        return draw(self, style, expand, slide)


def _with_drawing(function: Callable[P, Measurement]) -> Callable[P, Anatomy]:
    @wraps(function)
    def measure(*args: P.args, **kwargs: P.kwargs) -> Anatomy:
        return Anatomy(**vars(function(*args, **kwargs)))

    return measure


measure = _with_drawing(measuring.measure)
