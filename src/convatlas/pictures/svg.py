"""Write shapes as one self-contained SVG element."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from math import hypot

from convatlas.pictures.shapes import Box, Disc, Group, Image, Line, Point, Polygon, Shape, Text
from convatlas.pictures.text import FAMILY

HEAD, HALF = 6.0, 3.2
"""Length and half the width of an arrowhead."""


def svg_document(shapes: Sequence[Shape], width: float, height: float, title: str, description: str) -> str:
    """Return an `<svg>` element with a title and a description for screen readers."""
    size = f'width="{_n(width)}" height="{_n(height)}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {_n(width)} {_n(height)}"'
        f' role="img" font-family="{FAMILY}">',
        f"<title>{_escaped(title)}</title>",
        f"<desc>{_escaped(description)}</desc>",
        *(line for shape in shapes for line in _lines(shape)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _lines(shape: Shape) -> list[str]:
    if isinstance(shape, Group):
        layers = f' data-layers="{" ".join(map(str, shape.layers))}"' if shape.layers else ""
        title = [f"<title>{_escaped(shape.title)}</title>"] if shape.title else []
        return [f"<g{layers}>", *title, *(line for inner in shape.shapes for line in _lines(inner)), "</g>"]
    if isinstance(shape, Box):
        place = f'x="{_n(shape.x)}" y="{_n(shape.y)}" width="{_n(shape.width)}" height="{_n(shape.height)}"'
        dashes = ' stroke-dasharray="4 3"' if shape.dashed else ""
        opacity = f' opacity="{shape.opacity:g}"' if shape.opacity < 1 else ""
        return [f'<rect {place} rx="{_n(shape.radius)}" fill="{shape.fill}" stroke="{shape.stroke}"{dashes}{opacity}/>']
    if isinstance(shape, Disc):
        place = f'cx="{_n(shape.x)}" cy="{_n(shape.y)}" r="{_n(shape.radius)}"'
        opacity = f' opacity="{shape.opacity:g}"' if shape.opacity < 1 else ""
        return [f'<circle {place} fill="{shape.fill}" stroke="{shape.stroke}"{opacity}/>']
    if isinstance(shape, Polygon):
        points = " ".join(f"{_n(x)},{_n(y)}" for x, y in shape.points)
        return [f'<polygon points="{points}" fill="{shape.fill}" stroke="{shape.stroke}"/>']
    if isinstance(shape, Text):
        turn = f' transform="rotate(-90 {_n(shape.x)} {_n(shape.y)})"' if shape.turned else ""
        anchor = "" if shape.anchor == "start" else f' text-anchor="{shape.anchor}"'
        bold = ' font-weight="bold"' if shape.bold else ""
        style = f'font-size="{_n(shape.size)}" fill="{shape.fill}"{bold}{anchor}{turn}'
        return [f'<text x="{_n(shape.x)}" y="{_n(shape.y)}" {style}>{_escaped(shape.text)}</text>']
    if isinstance(shape, Image):
        place = f'x="{_n(shape.x)}" y="{_n(shape.y)}" width="{_n(shape.width)}" height="{_n(shape.height)}"'
        data = base64.b64encode(shape.png).decode()
        pixels = 'preserveAspectRatio="none" style="image-rendering:pixelated"'
        return [f'<image {place} {pixels} href="data:image/png;base64,{data}"/>']
    return _line(shape)


def _line(line: Line) -> list[str]:
    points = line.points
    heads: list[str] = []
    if line.arrow:
        (x, y), (before_x, before_y) = points[-1], points[-2]
        length = hypot(x - before_x, y - before_y) or 1.0
        along, across = (x - before_x) / length, (y - before_y) / length
        base = x - along * HEAD, y - across * HEAD
        corners = (
            (x, y),
            (base[0] - across * HALF, base[1] + along * HALF),
            (base[0] + across * HALF, base[1] - along * HALF),
        )
        heads = _lines(Polygon(corners, line.stroke))
        points = (*points[:-1], (x - along * HEAD / 2, y - across * HEAD / 2))
    path = _curved(points) if line.curve else _rounded(points, line.radius)
    dashes = ' stroke-dasharray="4 3"' if line.dashed else ""
    opacity = f' opacity="{line.opacity:g}"' if line.opacity < 1 else ""
    style = f'stroke="{line.stroke}" stroke-width="{_n(line.width)}"{dashes}{opacity}'
    return [f'<path d="{path}" fill="none" {style}/>', *heads]


def _curved(points: tuple[Point, ...]) -> str:
    first, *rest = (f"{_n(x)} {_n(y)}" for x, y in points)
    return f"M{first} C" + " ".join(rest)


def _rounded(points: tuple[Point, ...], radius: float) -> str:
    """Return a path through the points whose corners are rounded by at most `radius`."""
    path = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        lengths = [hypot(corner[0] - end[0], corner[1] - end[1]) for end in (before, after)]
        cut = min(radius, *(length / 2 for length in lengths))
        (x1, y1), (x2, y2) = (
            (corner[0] + (end[0] - corner[0]) * cut / length, corner[1] + (end[1] - corner[1]) * cut / length)
            if length
            else corner
            for end, length in zip((before, after), lengths, strict=True)
        )
        path.append(f"L{_n(x1)} {_n(y1)} Q{_n(corner[0])} {_n(corner[1])} {_n(x2)} {_n(y2)}")
    path.append(f"L{_n(points[-1][0])} {_n(points[-1][1])}")
    return " ".join(path)


def _n(value: float) -> str:
    """Return a number with at most one decimal place."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _escaped(text: str) -> str:
    """Return text as XML allows it, without control characters."""
    return escape("".join(sign if sign.isprintable() else " " for sign in text), quote=False)
