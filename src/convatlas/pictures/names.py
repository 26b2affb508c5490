"""Names beside the discs of a chart, each where it covers nothing; a thin line leads to a disc that is farther away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, hypot, pi, sin

from convatlas.pictures.marks import Place
from convatlas.pictures.shapes import GREY, Bounds, Disc, Line, Shape, Text, overlap
from convatlas.pictures.text import text_width

NEAR, FAR, TURNS = 3.0, 120.0, 16
"""Least and greatest distance of a name from its disc, and the number of directions that are tried."""


@dataclass(frozen=True)
class Names:
    """A name for each disc, the most crowded first.

    Attributes:
        x: Values on the horizontal axis.
        y: Values on the vertical axis.
        texts: The names.
        radii: Radii of the discs, in pixels.
        ends: Low and high end of the horizontal axis, then of the vertical one: names stay within.
        size: Size of the letters.
        label: Empty: the legend does not mention names.
    """

    x: Sequence[float]
    y: Sequence[float]
    texts: Sequence[str]
    radii: Sequence[float]
    ends: tuple[float, float, float, float]
    size: float = 8.5
    label: str = ""

    def shapes(self, place: Place) -> list[Shape]:
        """Return the names and the lines to their discs."""
        discs = [Disc(*place(x, y), radius, "none") for x, y, radius in zip(self.x, self.y, self.radii, strict=True)]
        (left, bottom), (right, top) = place(self.ends[0], self.ends[2]), place(self.ends[1], self.ends[3])
        field = left + 2, top + 2, right - 2, bottom - 2
        crowd = [sum(hypot(a.x - b.x, a.y - b.y) - a.radius - b.radius < 60 for b in discs) for a in discs]
        placed: list[Bounds] = []
        lines: list[Line] = []
        texts: list[Shape] = []
        for at in sorted(range(len(discs)), key=lambda at: (-crowd[at], discs[at].y, self.texts[at])):
            free = [
                (distance, text, _leader(discs[at], text.bounds()))
                for distance, text in _spots(self.texts[at], discs[at], self.size)
                if _within(text.bounds(), field)
                and not any(overlap(text.bounds(), other) for other in placed)
                and not any(_touches(text.bounds(), disc) for disc in discs)
            ]
            # Places that no line runs through come first, but any name is better than none.
            clear = (
                (distance, text, line)
                for distance, text, line in free
                if not any(_crossed(text.bounds(), other) for other in lines)
                and (distance <= 2 * NEAR or not any(_crossed(other, line) for other in placed))
            )
            best = next(clear, free[0] if free else None)
            if best is None:
                continue
            distance, text, line = best
            placed.append(text.bounds())
            texts.append(text)
            lines += [line] if distance > 2 * NEAR else []
        return [*lines, *texts]

    def swatch(self, x: float, y: float) -> list[Shape]:
        """Return nothing: the legend does not mention names."""
        return []


def _spots(name: str, disc: Disc, size: float) -> Iterator[tuple[float, Text]]:
    """Yield texts of a name, each with its distance from the disc: all around it, then all around farther away."""
    length = text_width(name, size)
    distance = NEAR
    while distance <= FAR:
        reach = disc.radius + distance
        # First to the right, then to the left, then above and below.
        for turn in sorted(range(TURNS), key=lambda turn: (turn % (TURNS // 2) > 0, turn % (TURNS // 4) > 0, turn)):
            angle = 2 * pi * turn / TURNS
            across, down = cos(angle), -sin(angle)
            x = disc.x + reach * across + (length / 2) * (across - 1)
            y = disc.y + reach * down + size * 0.36 + size * 0.5 * down
            yield distance, Text(x, y, name, size)
        distance += 6


def _leader(disc: Disc, bounds: Bounds) -> Line:
    """Return the line from the edge of a disc to the nearest point of a name."""
    x, y = min(max(disc.x, bounds[0]), bounds[2]), min(max(disc.y, bounds[1]), bounds[3])
    away = hypot(x - disc.x, y - disc.y) or 1.0
    start = disc.x + (x - disc.x) * disc.radius / away, disc.y + (y - disc.y) * disc.radius / away
    return Line((start, (x, y)), GREY, 0.6)


def _within(bounds: Bounds, field: Bounds) -> bool:
    return field[0] <= bounds[0] and field[1] <= bounds[1] and bounds[2] <= field[2] and bounds[3] <= field[3]


def _touches(bounds: Bounds, disc: Disc) -> bool:
    x, y = min(max(disc.x, bounds[0]), bounds[2]), min(max(disc.y, bounds[1]), bounds[3])
    return hypot(x - disc.x, y - disc.y) < disc.radius + 0.5


def _crossed(bounds: Bounds, line: Line) -> bool:
    (x1, y1), (x2, y2) = line.points
    points = ((x1 + (x2 - x1) * step / 20, y1 + (y2 - y1) * step / 20) for step in range(21))
    return any(bounds[0] < x < bounds[2] and bounds[1] < y < bounds[3] for x, y in points)
