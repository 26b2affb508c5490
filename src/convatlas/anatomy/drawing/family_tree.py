"""Draw the family tree of the atlas: years from left to right, each series below the one it builds on."""

from __future__ import annotations

from collections.abc import Sequence

from convatlas.catalogue.descent import descent
from convatlas.pictures.picture import Picture
from convatlas.pictures.shapes import GREY, INK, PAPER, Box, Group, Line, Shape, Text
from convatlas.pictures.text import text_width, wrapped

MARGIN, TOP, STEP, NOTES, SIZE, SMALL = 30.0, 124.0, 40.0, 430.0, 11.0, 9.0
"""Margin, top of the first series, distance of years, width of the notes beside boxes; two sizes of text."""

FILLS = ("#e6cda6", "#f3b36b", "#f8e58c", "#b5dcae", "#9cc3ea", "#d5d1ee")
"""Fill of boxes by the era of their year."""

ERAS = (1985, 2000, 2013, 2016, 2018)
"""Years in which the next era begins."""

MEANINGS = (
    "before back-propagation", "back-propagation", "large nets on graphics cards", "depth", "residuals everywhere",
    "search and scale",
)  # fmt: skip
"""The eras, for the legend."""

ASIDE, STEM = 16.0, 8.0
"""Offsets from a box's left side: of boxes of the same year that build on it, and of the line that leaves it."""


def family_tree() -> Picture:
    """Draw the series of `descent()`."""
    lines = descent()
    years = sorted({line.began for line in lines})
    columns = {year: MARGIN + STEP * at for at, year in enumerate(years)}
    names = {line.nets[0]: line.name for line in lines}
    back: list[Shape] = []
    front: list[Shape] = []
    places: dict[str, tuple[float, float]] = {}
    y = TOP
    for line in lines:
        before = places.get(line.parents[0]) if line.parents else None
        # What builds on a net stands right of the line that leaves it, so that the line passes behind no box.
        x = max(columns[line.began], before[0] + ASIDE) if before else columns[line.began]
        label = f"{line.title}, {line.dated}" if line.idea else line.title
        wide = text_width(label, SIZE, True) + 16
        notes = wrapped(line.new, NOTES, SMALL)
        also = [names[parent] for parent in line.parents[1:]]
        notes += [f"also from {', '.join(also)}"] if also else []
        high = max(24.0, 12.0 * len(notes) + 4)
        middle = y + high / 2
        places[line.nets[0]] = x, middle
        if before:
            stem = before[0] + STEM
            back.append(Line(((stem, before[1] + 11), (stem, middle), (x, middle)), GREY, 1.2, arrow=True))
        title = f"{', '.join(line.nets)} ({line.dated}): {line.new}. Takes: {line.takes or 'nothing said'}"
        shapes: list[Shape] = [
            Box(x, middle - 11, wide, 22, FILLS[_era(line.began)], INK, 4),
            Text(x + 8, middle + 4, label, SIZE, True),
        ]
        begin = middle - 6 * (len(notes) - 1) + 3
        shapes += [Text(x + wide + 8, begin + 12 * at, text, SMALL, fill=GREY) for at, text in enumerate(notes)]
        front.append(Group(tuple(shapes), title))
        y += high + 8
    for year in years:
        back.insert(0, Line(((columns[year], TOP - 14), (columns[year], y)), "#e3e5e1", 1))
        front.append(Text(columns[year], TOP - 20, str(year), SMALL, True, "middle", GREY))
    right = columns[years[-1]] + NOTES + 210
    heading: list[Shape] = [
        Text(MARGIN, 40, "What each net introduced, and which one it built on", 18, True),
        Text(MARGIN, 60, _reading_help(lines), SIZE, fill=GREY),
    ]
    heading += _legend()
    description = ". ".join(f"{line.title} ({line.dated}): {line.new}" for line in lines)
    shapes_all = (Box(0, 0, right, y + MARGIN, PAPER), *back, *heading, *front)
    return Picture(right, y + MARGIN, shapes_all, "The family tree of the atlas", description)


def _era(year: int) -> int:
    return sum(year >= era for era in ERAS)


def _legend() -> list[Shape]:
    """Return the colours of the boxes with their years."""
    shapes: list[Shape] = []
    x = MARGIN
    for fill, meaning, start, end in zip(FILLS, MEANINGS, (0, *ERAS), (*ERAS, 0), strict=True):
        years = f"to {end - 1}" if not start else f"{start} to {end - 1}" if end else f"from {start}"
        text = f"{years}: {meaning}"
        shapes += [Box(x, 71, 13, 11, fill, INK, 2), Text(x + 18, 80, text, SMALL, fill=GREY)]
        x += 18 + text_width(text, SMALL) + 16
    return shapes


def _reading_help(lines: Sequence[object]) -> str:
    """Return how the tree is read."""
    return (
        f"{len(lines)} series; an arrow runs from the one that a paper names first, others are named beside it; "
        "of one year, the later stands a little to the right; an idea older than its net stands at its own year"
    )
