"""Collect shapes while a picture is laid out: lines lie behind boxes, text in front of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from convatlas.pictures.shapes import INK, Line, Point, Shape

Titled = Callable[[Iterable[int]], str]
"""Function from layers to the text under the mouse for their box."""


class Canvas:
    """Shapes of a picture under construction; `entries` holds layers of other stages and where their lines arrive."""

    def __init__(self, titled: Titled):
        self.titled = titled
        self.back: list[Shape] = []
        self.lines: list[Shape] = []
        self.front: list[Shape] = []
        self.entries: list[tuple[int, Point]] = []

    def line(self, *points: Point, arrow: bool = False, dashed: bool = False, stroke: str = INK) -> None:
        """Draw a line through points; successive equal points count once."""
        kept = [point for at, point in enumerate(points) if at == 0 or point != points[at - 1]]
        if len(kept) > 1:
            self.lines.append(Line(tuple(kept), stroke, arrow=arrow, dashed=dashed))

    def curve(self, start: Point, end: Point, arrow: bool = False) -> None:
        """Draw a curve that leaves and arrives horizontally."""
        middle = (start[0] + end[0]) / 2
        if abs(start[1] - end[1]) < 0.1:
            self.line(start, end, arrow=arrow)
        else:
            points = (start, (middle, start[1]), (middle, end[1]), end)
            self.lines.append(Line(points, arrow=False, curve=True))
            if arrow:
                self.line((end[0] - 1, end[1]), end, arrow=True)

    def shapes(self) -> tuple[Shape, ...]:
        """Return all shapes from back to front."""
        return (*self.back, *self.lines, *self.front)
