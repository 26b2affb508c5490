"""What is asked of every picture: nothing lies on anything else, and all is said in words too."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

from convatlas.pictures.picture import Picture
from convatlas.pictures.shapes import GREY, Bounds, Box, Disc, Group, Line, Text, flat

SVG = "{http://www.w3.org/2000/svg}"


def meet(first: Bounds, second: Bounds, slack: float = 0.3) -> bool:
    return (
        first[0] + slack < second[2]
        and second[0] + slack < first[2]
        and first[1] + slack < second[3]
        and second[1] + slack < first[3]
    )


def check_words(picture: Picture) -> None:
    """The SVG is whole and says what it shows; no text leaves the picture or lies on another one."""
    root = ET.fromstring(picture.svg())
    assert root.tag == f"{SVG}svg"
    assert [child.tag for child in root[:2]] == [f"{SVG}title", f"{SVG}desc"]
    assert root[0].text
    assert root[1].text
    assert root.get("role") == "img"
    texts = [shape for shape in flat(picture.shapes) if isinstance(shape, Text)]
    placed = sorted(((text.bounds(), text) for text in texts), key=lambda pair: pair[0])
    for at, (bounds, text) in enumerate(placed):
        assert bounds[0] >= 0, text
        assert bounds[1] >= 0, text
        assert bounds[2] <= picture.width, text
        assert bounds[3] <= picture.height, text
        for other, second in placed[at + 1 :]:
            if other[0] > bounds[2]:
                break
            assert not meet(bounds, other), (text, second)


def units(picture: Picture) -> list[tuple[Bounds, Group]]:
    """The boxes that stand for layers, with their bounds."""
    found = []
    for group in picture.shapes:
        if isinstance(group, Group) and group.layers:
            boxes = [(b.x, b.y, b.x + b.width, b.y + b.height) for b in flat([group]) if isinstance(b, Box)]
            discs = [
                (d.x - d.radius, d.y - d.radius, d.x + d.radius, d.y + d.radius)
                for d in flat([group])
                if isinstance(d, Disc) and d.radius > 8
            ]
            sides = list(zip(*boxes, *discs, strict=True)) if boxes or discs else []
            corners = boxes + discs
            assert sides or corners
            left, top = min(c[0] for c in corners), min(c[1] for c in corners)
            found.append(((left, top, max(c[2] for c in corners), max(c[3] for c in corners)), group))
    return found


def frames(picture: Picture) -> list[Bounds]:
    """The frames around blocks, those that peep out from behind a repeated one too."""
    boxes = [shape for shape in picture.shapes if isinstance(shape, Box) and shape.radius == 6 and shape.stroke == GREY]
    return [(box.x, box.y, box.x + box.width, box.y + box.height) for box in boxes]


def check_blocks(picture: Picture) -> None:
    """No box lies on another one, no text of something else in one, no line runs through one; text cuts no frame."""
    placed = units(picture)
    for shape in picture.shapes:
        if isinstance(shape, Text):
            left, top, right, bottom = shape.bounds()
            for frame in frames(picture):
                inside = frame[0] <= left and right <= frame[2] and frame[1] <= top and bottom <= frame[3]
                assert inside or not meet(shape.bounds(), frame), (shape, frame)
    for at, (bounds, group) in enumerate(placed):
        for other, second in placed[at + 1 :]:
            assert not meet(bounds, other), (group.title, second.title)
    for shape in flat(picture.shapes):
        if isinstance(shape, Text):
            own = [group for bounds, group in placed if meet(bounds, shape.bounds(), 1)]
            assert all(any(one is shape for one in flat([group])) for group in own), shape
        if isinstance(shape, Line):
            for start, end in pairwise(_points(shape)):
                along = (min(start[0], end[0]), min(start[1], end[1]), max(start[0], end[0]), max(start[1], end[1]))
                for bounds, group in placed:
                    inside = bounds[0] <= along[0] and along[2] <= bounds[2] and along[3] - along[1] < 1
                    assert inside or not meet(_wide(along), bounds, 1.5), (shape, group.title)


def _wide(bounds: Bounds) -> Bounds:
    return bounds[0] - 0.01, bounds[1] - 0.01, bounds[2] + 0.01, bounds[3] + 0.01


def _points(line: Line) -> list[tuple[float, float]]:
    """The corners of a line, or points along its curve."""
    if not line.curve:
        return list(line.points)
    a, b, c, d = line.points
    shares = [step / 20 for step in range(21)]
    return [
        (
            sum(weight * point[0] for weight, point in zip(_bernstein(t), (a, b, c, d), strict=True)),
            sum(weight * point[1] for weight, point in zip(_bernstein(t), (a, b, c, d), strict=True)),
        )
        for t in shares
    ]


def _bernstein(t: float) -> tuple[float, float, float, float]:
    return (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t * t, t**3
