"""What a chart's panel holds: curves, dots, intervals, bars, rules and the cells of a heat map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Protocol

from convatlas.pictures.shapes import GREY, INK, Box, Disc, Group, Line, Point, Shape, Text

Place = Callable[[float, float], Point]
"""Function from the values on both axes to the place on the picture."""

SMALL = 9.0
"""Size of labels."""


class Mark(Protocol):
    """Anything that draws itself into a panel; with a `label`, the legend names it beside its `swatch`."""

    @property
    def label(self) -> str:
        """The text in the legend, "" for none."""

    def shapes(self, place: Place) -> list[Shape]:
        """Return the shapes, from back to front."""

    def swatch(self, x: float, y: float) -> list[Shape]:
        """Return a sample for the legend, 16 pixels wide, its left end at (x, y)."""


@dataclass(frozen=True)
class Curve:
    """A line through the points that are finite, with dots on them if `radius` is above 0."""

    x: Sequence[float]
    y: Sequence[float]
    colour: str
    label: str = ""
    width: float = 1.8
    radius: float = 0
    opacity: float = 1
    dashed: bool = False

    def shapes(self, place: Place) -> list[Shape]:
        """Return the shapes, from back to front."""
        points = tuple(place(x, y) for x, y in zip(self.x, self.y, strict=True) if isfinite(x) and isfinite(y))
        dots: list[Shape] = [Disc(*point, self.radius, self.colour, opacity=self.opacity) for point in points]
        if len(points) < 2:
            return [Disc(*point, max(self.radius, 3.0), self.colour) for point in points]
        line = Line(points, self.colour, self.width, dashed=self.dashed, radius=0, opacity=self.opacity)
        return [line, *(dots if self.radius else [])]

    def swatch(self, x: float, y: float) -> list[Shape]:
        """Return a sample for the legend."""
        dots: list[Shape] = [Disc(x + 8, y, self.radius, self.colour)] if self.radius else []
        return [Line(((x, y), (x + 16, y)), self.colour, self.width, dashed=self.dashed), *dots]


@dataclass(frozen=True)
class Dots:
    """A disc at each point; `titles` appear under the mouse."""

    x: Sequence[float]
    y: Sequence[float]
    colour: str
    label: str = ""
    radius: float | Sequence[float] = 3.0
    opacity: float = 1
    stroke: str = "none"
    titles: Sequence[str] = ()

    def shapes(self, place: Place) -> list[Shape]:
        """Return the shapes, from back to front."""
        radii = [self.radius] * len(self.x) if isinstance(self.radius, int | float) else self.radius
        discs = [
            Disc(*place(x, y), radius, self.colour, self.stroke, self.opacity)
            for x, y, radius in zip(self.x, self.y, radii, strict=True)
        ]
        if not self.titles:
            return [*discs]
        return [Group((disc,), title) for disc, title in zip(discs, self.titles, strict=True)]

    def swatch(self, x: float, y: float) -> list[Shape]:
        """Return a sample for the legend."""
        return [Disc(x + 8, y, 4.5, self.colour, self.stroke, self.opacity)]


@dataclass(frozen=True)
class Intervals:
    """A segment from `low` to `high` at each value of the other axis, with caps of `cap` pixels to each side."""

    at: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    colour: str
    label: str = ""
    vertical: bool = False
    cap: float = 3
    width: float = 1.8

    def shapes(self, place: Place) -> list[Shape]:
        """Return the shapes, from back to front."""
        return [
            line
            for at, low, high in zip(self.at, self.low, self.high, strict=True)
            for line in self._segment(*(place(at, end) if self.vertical else place(end, at) for end in (low, high)))
        ]

    def swatch(self, x: float, y: float) -> list[Shape]:
        """Return a sample for the legend."""
        return [*self._segment(*(((x + 8, y + 6), (x + 8, y - 6)) if self.vertical else ((x, y), (x + 16, y))))]

    def _segment(self, *ends: Point) -> list[Line]:
        dx, dy = (self.cap, 0.0) if self.vertical else (0.0, self.cap)
        caps = [((x - dx, y - dy), (x + dx, y + dy)) for x, y in ends] if self.cap else []
        return [Line(points, self.colour, self.width) for points in (ends, *caps)]


@dataclass(frozen=True)
class Bars:
    """A bar from 0 to each value, in the colours given, with a text behind it; `titles` appear under the mouse."""

    at: Sequence[float]
    values: Sequence[float]
    colours: Sequence[str]
    label: str = ""
    vertical: bool = False
    thickness: float = 0.78
    texts: Sequence[str] = ()
    titles: Sequence[str] = ()

    def shapes(self, place: Place) -> list[Shape]:
        """Return the shapes, from back to front."""
        shapes: list[Shape] = []
        for number, (at, value, colour) in enumerate(zip(self.at, self.values, self.colours, strict=True)):
            corners = [(at - self.thickness / 2, 0.0), (at + self.thickness / 2, value)]
            (x1, y1), (x2, y2) = (place(*(corner if self.vertical else reversed(corner))) for corner in corners)
            x, y = min(x1, x2), min(y1, y2)
            bar = Box(x, y, abs(x2 - x1), abs(y2 - y1), colour)
            shapes.append(Group((bar,), self.titles[number] if self.titles else ""))
            if self.texts and self.vertical:
                shapes.append(Text((x1 + x2) / 2, y - 4, self.texts[number], SMALL, anchor="middle", fill=GREY))
            elif self.texts:
                shapes.append(Text(x + bar.width + 6, (y1 + y2) / 2 + 3.4, self.texts[number], SMALL, fill=GREY))
        return shapes

    def swatch(self, x: float, y: float) -> list[Shape]:
        """Return a sample for the legend."""
        return [Box(x + 2, y - 5, 12, 10, self.colours[0])]


@dataclass(frozen=True)
class Rule:
    """A dashed line through the panel from `start` to `end` of one axis, at a value of the other."""

    value: float
    start: float
    end: float
    colour: str = GREY
    label: str = ""
    vertical: bool = True

    def shapes(self, place: Place) -> list[Shape]:
        """Return the shapes, from back to front."""
        ends = [(self.value, end) if self.vertical else (end, self.value) for end in (self.start, self.end)]
        return [Line(tuple(place(*end) for end in ends), self.colour, 1, dashed=True, radius=0)]

    def swatch(self, x: float, y: float) -> list[Shape]:
        """Return a sample for the legend."""
        return [Line(((x, y), (x + 16, y)), self.colour, 1, dashed=True)]


@dataclass(frozen=True)
class Cells:
    """A heat map on two axes of names: cell (row i, column j) is at (j, i), white at a share of 0, dark at 1."""

    shares: Sequence[Sequence[float]]
    texts: Sequence[Sequence[str]] = ()
    colour: str = "#1f5a96"
    label: str = ""

    def shapes(self, place: Place) -> list[Shape]:
        """Return the shapes, from back to front."""
        shapes: list[Shape] = []
        for row, line in enumerate(self.shares):
            for column, share in enumerate(line):
                if share > 0:
                    (x1, y1), (x2, y2) = place(column - 0.5, row - 0.5), place(column + 0.5, row + 0.5)
                    corner, sides = (min(x1, x2), min(y1, y2)), (abs(x2 - x1), abs(y2 - y1))
                    shapes.append(Box(*corner, *sides, self.colour, opacity=max(share, 0.02)))
        for row, words in enumerate(self.texts):
            for column, text in enumerate(words):
                x, y = place(column, row)
                fill = "#ffffff" if self.shares[row][column] > 0.5 else INK
                shapes += [Text(x, y + 3.4, text, SMALL, anchor="middle", fill=fill)] if text else []
        return shapes

    def swatch(self, x: float, y: float) -> list[Shape]:
        """Return a sample for the legend."""
        return [Box(x + 2, y - 5, 12, 10, self.colour)]
