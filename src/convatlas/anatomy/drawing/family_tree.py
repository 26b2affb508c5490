"""Draw the family tree of the atlas: years from left to right, each series below the one it builds on."""

from __future__ import annotations

from collections.abc import Sequence

from convatlas.catalogue.descent import descent
from convatlas.pictures.picture import Picture
from convatlas.pictures.shapes import GREY, INK, PAPER, Box, Group, Line, Shape, Text
from convatlas.pictures.text import text_width, wrapped

MARGIN, TOP, STEP, NOTES, SIZE, SMALL = 30.0, 92.0, 40.0, 430.0, 11.0, 9.0
"""Margin, top of the first series, distance of years, width of the notes beside boxes; sizes of text."""

FILLS = ("#e6cda6", "#f3b36b", "#f8e58c", "#b5dcae", "#9cc3ea", "#d5d1ee")
"""Fill of boxes by the era of their year."""

ERAS = (1985, 2000, 2013, 2016, 2018)
"""Years in which an era begins: back-propagation, the pause, depth, residuals, search and scale."""


def family_tree() -> Picture:
    """Draw the series of `descent()`."""
    lines = descent()
    years = sorted({line.year for line in lines})
    columns = {year: MARGIN + STEP * at for at, year in enumerate(years)}
    names = {line.nets[0]: line.name for line in lines}
    back: list[Shape] = []
    front: list[Shape] = []
    places: dict[str, tuple[float, float]] = {}
    y = TOP
    for line in lines:
        x = columns[line.year]
        wide = text_width(line.title, SIZE, True) + 16
        notes = wrapped(line.new, NOTES, SMALL)
        also = [names[parent] for parent in line.parents[1:]]
        notes += [f"also from {', '.join(also)}"] if also else []
        high = max(24.0, 12.0 * len(notes) + 4)
        middle = y + high / 2
        places[line.nets[0]] = x, middle
        if line.parents and line.parents[0] in places:
            above, level = places[line.parents[0]]
            stem = min(above + 8, x - 8)
            start = (stem, level + 11) if stem == above + 8 else (stem, level)
            back.append(Line((start, (stem, middle), (x, middle)), GREY, 1.2, arrow=True))
        title = f"{', '.join(line.nets)} ({line.year}): {line.new}. Takes: {line.takes or 'nothing said'}"
        shapes: list[Shape] = [
            Box(x, middle - 11, wide, 22, FILLS[sum(line.year >= era for era in ERAS)], INK, 4),
            Text(x + 8, middle + 4, line.title, SIZE, True),
        ]
        begin = middle - 6 * (len(notes) - 1) + 3
        shapes += [Text(x + wide + 8, begin + 12 * at, text, SMALL, fill=GREY) for at, text in enumerate(notes)]
        front.append(Group(tuple(shapes), title))
        y += high + 8
    for year in years:
        back.insert(0, Line(((columns[year], TOP - 14), (columns[year], y)), "#e3e5e1", 1))
        front.append(Text(columns[year], TOP - 20, str(year), SMALL, True, "middle", GREY))
    right = columns[years[-1]] + NOTES + 210
    heading = [
        Text(MARGIN, 40, "What each net introduced, and which one it built on", 18, True),
        Text(MARGIN, 60, _count(lines), SIZE, fill=GREY),
    ]
    description = ". ".join(f"{line.year} {line.title}: {line.new}" for line in lines)
    shapes_all = (Box(0, 0, right, y + MARGIN, PAPER), *back, *heading, *front)
    return Picture(right, y + MARGIN, shapes_all, "The family tree of the atlas", description)


def _count(lines: Sequence[object]) -> str:
    return f"{len(lines)} series; an arrow runs from the one that a paper names first, others are named beside it"
