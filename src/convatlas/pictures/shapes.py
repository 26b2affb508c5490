"""What pictures are made of: a few shapes, and the picture that holds them. Lengths are in pixels, y runs down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import ConvAtlasError
from convatlas.pictures.fonts import ASCENT, DESCENT, text_width

Point = tuple[float, float]
Bounds = tuple[float, float, float, float]
"""Left, top, right, bottom."""

PLENTY = 8_000_000
"""Pixels beyond which a PNG gets no finer."""

INK, GREY, PAPER = "#1f2933", "#5f6b76", "#fbfbf9"
"""Of text and lines, of what is said in passing, and of the ground: opaque, so that a dark page changes nothing."""


@dataclass(frozen=True)
class Box:
    """A rectangle; `radius` of its corners, `dashed` border or none at all."""

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
    """A line through points, its corners rounded; with a `curve` of two control points a point (cubic Bézier)."""

    points: tuple[Point, ...]
    stroke: str = INK
    width: float = 1.2
    arrow: bool = False
    dashed: bool = False
    curve: bool = False
    radius: float = 6


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
    """A line of text, its baseline at (x, y); `turned` text reads upward."""

    x: float
    y: float
    text: str
    size: float = 11
    bold: bool = False
    anchor: Literal["start", "middle", "end"] = "start"
    fill: str = INK
    turned: bool = False

    def bounds(self) -> Bounds:
        """The rectangle it takes."""
        wide = text_width(self.text, self.size, self.bold)
        before = {"start": 0.0, "middle": wide / 2, "end": wide}[self.anchor]
        up, down = self.size * ASCENT, self.size * DESCENT
        if self.turned:
            return self.x - up, self.y - wide + before, self.x + down, self.y + before
        return self.x - before, self.y - up, self.x - before + wide, self.y + down


@dataclass(frozen=True)
class Image:
    """Pixels of a PNG file, each of them drawn as a square."""

    x: float
    y: float
    width: float
    height: float
    png: bytes = field(repr=False)


@dataclass(frozen=True)
class Group:
    """Shapes that are one thing: what it is called appears when one points at it; `layers` are its numbers."""

    shapes: tuple[Shape, ...]
    title: str = ""
    layers: tuple[int, ...] = ()


Shape = Box | Line | Polygon | Disc | Text | Image | Group


@dataclass(frozen=True)
class Picture:
    """A finished drawing.

    Attributes:
        width: In pixels.
        height: In pixels.
        shapes: From back to front.
        title: What it shows, for those who do not see it too.
        description: The same at length.
    """

    width: float
    height: float
    shapes: tuple[Shape, ...] = field(repr=False)
    title: str
    description: str = field(default="", repr=False)

    def svg(self) -> str:
        """The picture as one SVG element."""
        from convatlas.pictures.svg import written

        return written(self)

    def png(self, scale: float | None = None) -> bytes:
        """The picture as a PNG file, `scale` pixels for each of its own; 2 if not said, fewer for a large one.

        Raises:
            ConvAtlasError: It would be too large to be drawn.
        """
        from convatlas.pictures.raster import rendered

        usual = max(1.0, min(2.0, (PLENTY / (self.width * self.height)) ** 0.5))
        return rendered(self, usual if scale is None else scale)

    def save(self, path: str | Path) -> Path:
        """Writes the picture to a file, as SVG or PNG by the end of its name; gives its path.

        Raises:
            ConvAtlasError: The name ends in neither, or the file cannot be written.
        """
        path = check_picture(path)
        data = self.svg().encode() if path.suffix.lower() == ".svg" else self.png()
        try:
            write_bytes(path, data)
        except OSError as error:
            raise ConvAtlasError(f"the picture cannot be written to {path}: {error.strerror or error}") from None
        return path

    def _repr_svg_(self) -> str:
        return self.svg()


def check_picture(path: str | Path) -> Path:
    """The path of a picture to be saved.

    Raises:
        ConvAtlasError: Its name ends in neither .svg nor .png.
    """
    path = Path(path)
    if path.suffix.lower() not in (".svg", ".png"):
        raise ConvAtlasError(f"a picture is written to a .svg or .png file; got {path.name!r}")
    return path


def flat(shapes: Sequence[Shape]) -> Iterator[Box | Line | Polygon | Disc | Text | Image]:
    """The shapes without their groups."""
    for shape in shapes:
        if isinstance(shape, Group):
            yield from flat(shape.shapes)
        else:
            yield shape
