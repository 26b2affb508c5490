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
        """Draw the net; `save` of the picture writes it as SVG or PNG.

        Args:
            style: "blocks", or "boxes" for stacks of feature maps, as LeNet-5 was drawn.
            expand: Stage, or block of a stage, whose layers are drawn one by one.
            slide: Whether to draw the net to fill a slide of 16:9, with less detail if it is large.

        Raises:
            UnknownName: No such style, stage or block.
            ConvAtlasError: `expand` with the style "boxes".
        """
        return draw(self, style, expand, slide)


def _with_drawing(function: Callable[P, Measurement]) -> Callable[P, Anatomy]:
    @wraps(function)
    def measure(*args: P.args, **kwargs: P.kwargs) -> Anatomy:
        return Anatomy(**vars(function(*args, **kwargs)))

    return measure


measure = _with_drawing(measuring.measure)
