"""The shapes that pictures are made of. Lengths are in pixels, y runs down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from convatlas.pictures.text import ASCENT, DESCENT, text_width

Point = tuple[float, float]
Bounds = tuple[float, float, float, float]
"""Left, top, right, bottom."""

INK, GREY, PAPER = "#1f2933", "#5f6b76", "#fbfbf9"
"""Colours of text and lines, of secondary text, and of the background, which is opaque to look alike on dark pages."""


@dataclass(frozen=True)
class Box:
    """A rectangle with corners of a `radius` and a solid, `dashed` or absent border."""

    x: float
    y: float
    width: float
    height: float
    fill: str = "none"
    stroke: str = "none"
    radius: float = 0
    dashed: bool = False
    opacity: float = 1


@dataclass(frozen=True)
class Line:
    """A line through points with rounded corners, or a cubic Bézier `curve` (two control points between two ends)."""

    points: tuple[Point, ...]
    stroke: str = INK
    width: float = 1.2
    arrow: bool = False
    dashed: bool = False
    curve: bool = False
    radius: float = 6
    opacity: float = 1


@dataclass(frozen=True)
class Polygon:
    """A closed area."""

    points: tuple[Point, ...]
    fill: str
    stroke: str = "none"


@dataclass(frozen=True)
class Disc:
    """A circle."""

    x: float
    y: float
    radius: float
    fill: str
    stroke: str = "none"
    opacity: float = 1


@dataclass(frozen=True)
class Text:
    """A line of text with its baseline at (x, y); `turned` text reads upward."""

    x: float
    y: float
    text: str
    size: float = 11
    bold: bool = False
    anchor: Literal["start", "middle", "end"] = "start"
    fill: str = INK
    turned: bool = False

    def bounds(self) -> Bounds:
        """Return the rectangle that the text takes."""
        length = text_width(self.text, self.size, self.bold)
        before = {"start": 0.0, "middle": length / 2, "end": length}[self.anchor]
        up, down = self.size * ASCENT, self.size * DESCENT
        if self.turned:
            return self.x - up, self.y - length + before, self.x + down, self.y + before
        return self.x - before, self.y - up, self.x - before + length, self.y + down


@dataclass(frozen=True)
class Image:
    """The pixels of a PNG file, each drawn as a square."""

    x: float
    y: float
    width: float
    height: float
    png: bytes = field(repr=False)


@dataclass(frozen=True)
class Group:
    """Shapes that stand for one thing: its `title` appears under the mouse, `layers` are its layers' numbers."""

    shapes: tuple[Shape, ...]
    title: str = ""
    layers: tuple[int, ...] = ()


Shape = Box | Line | Polygon | Disc | Text | Image | Group


def flat(shapes: Sequence[Shape]) -> Iterator[Box | Line | Polygon | Disc | Text | Image]:
    """Yield the shapes without their groups."""
    for shape in shapes:
        if isinstance(shape, Group):
            yield from flat(shape.shapes)
        else:
            yield shape


def overlap(first: Bounds, second: Bounds) -> bool:
    """Return whether two rectangles overlap."""
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def moved(shape: Shape, right: float, down: float) -> Shape:
    """Return a shape in another place."""
    if isinstance(shape, Group):
        return replace(shape, shapes=tuple(moved(inner, right, down) for inner in shape.shapes))
    if isinstance(shape, Line | Polygon):
        return replace(shape, points=tuple((x + right, y + down) for x, y in shape.points))
    return replace(shape, x=shape.x + right, y=shape.y + down)
