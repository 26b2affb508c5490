"""Draw a net as LeNet-5 was drawn (LeCun et al. 1998, figure 2): stacks of maps, their windows, vectors at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2, sqrt

from convatlas.anatomy.drawing.labels import amount, shape_text, tooltip
from convatlas.anatomy.drawing.layout.elements import LINE, SMALL
from convatlas.anatomy.drawing.maps.stations import Station, stations
from convatlas.anatomy.drawing.swatches import swatches
from convatlas.anatomy.measure.records import Measurement
from convatlas.anatomy.structure.tokens import Words
from convatlas.pictures.palette import colour
from convatlas.pictures.picture import Picture
from convatlas.pictures.shapes import GREY, INK, PAPER, Box, Group, Line, Text
from convatlas.pictures.shapes import Shape as Drawn
from convatlas.pictures.text import shortened, text_width, wrapped

MARGIN, APART, SHEET, LONGEST = 20.0, 44.0, 3.5, 120.0
"""Margin, distance of stacks, offset of the maps of a stack, and the width of the longest name."""


@dataclass
class Stack:
    """A station with its measures: the size of a map, how many are drawn, and where its middle is."""

    station: Station
    width: float
    height: float
    sheets: int
    flat: bool = False
    middle: float = 0.0

    @property
    def wide(self) -> float:
        """Width from the left of the front map to the right of the last one."""
        return self.width + SHEET * (self.sheets - 1)

    @property
    def tall(self) -> float:
        """Height of all its groups."""
        each = self.height + SHEET * (self.sheets - 1)
        return each * self.station.groups + 14 * (self.station.groups - 1)


def draw_stacks(anatomy: Measurement, title: str, description: str) -> Picture:
    """Draw a net as a line of stacks of maps."""
    stacks = _stacks(stations(anatomy))
    words = Words(anatomy)
    above = 84.0
    middle = above + 44 + max(stack.tall for stack in stacks) / 2
    floor = middle + max(stack.tall for stack in stacks) / 2 + 26
    _spread(stacks)
    shapes: list[Drawn] = []
    for at, stack in enumerate(stacks):
        shapes.append(Group(tuple(_stack(stack, middle)), tooltip(stack.station.layers, words), stack.station.layers))
        top = middle - stack.tall / 2 - 26
        name = shortened(stack.station.name, LONGEST, SMALL)
        shapes.append(Text(stack.middle, top, name, SMALL, anchor="middle", fill=GREY))
        shapes.append(Text(stack.middle, top + 14, stack.station.size, LINE, True, "middle"))
        if at:
            for line, text in enumerate(stack.station.text):
                shapes.append(Text(_gap(stacks[at - 1], stack), floor + 13 * line, text, SMALL, anchor="middle"))
    # Units are drawn last: a window may cover all of its map.
    links = [
        link
        for stack_before, stack_after in pairwise(stacks)
        if stack_after.station.follows
        for link in _links(stack_before, stack_after, middle)
    ]
    shapes += sorted(links, key=lambda link: isinstance(link, Box) and link.fill == INK)
    right = max(stack.middle + max(stack.wide, _label(stack)) / 2 for stack in stacks)
    width = max(right + MARGIN, 480)
    head = _head(anatomy, words, title, width)
    legend = _legend(stacks, floor + 24 + 13 * max(2, *(len(stack.station.text) for stack in stacks)), width)
    height = max(shape.y for shape in legend if isinstance(shape, Text)) + 16
    ground = Box(0, 0, width, height, PAPER)
    return Picture(width, height, (ground, *head, *shapes, *legend), title, description)


def _stacks(net_stations: Sequence[Station]) -> list[Stack]:
    largest = max((max(station.shape[1:]) for station in net_stations if not station.flat), default=1)
    stacks = []
    for station in net_stations:
        shape = station.shape
        if not station.flat and max(shape[1:]) > 1:
            share = 1.0 if station.groups == 1 else 0.75
            wide, tall = (share * (14 + 96 * sqrt(side / largest)) for side in (shape[2], shape[1]))
            stacks.append(Stack(station, wide, tall, min(12, 1 + round(log2(shape[0] / station.groups)))))
        else:
            stacks.append(Stack(station, 10, 24 + 11 * log2(max((*shape, 2)[0], 2)), 1, flat=True))
    return stacks


def _label(stack: Stack) -> float:
    """Return the width of the text above a stack."""
    name = shortened(stack.station.name, LONGEST, SMALL)
    return max(text_width(name, SMALL), text_width(stack.station.size, LINE, True))


def _gap(before: Stack, after: Stack) -> float:
    """Return the middle of the gap between two stacks."""
    return (before.middle + before.wide / 2 + after.middle - after.wide / 2) / 2


def _spread(stacks: Sequence[Stack]) -> None:
    """Set the middles of the stacks, from left to right, so that neither they nor their texts overlap."""
    stacks[0].middle = MARGIN + max(stacks[0].wide, _label(stacks[0])) / 2
    end = MARGIN - 10
    for before, after in pairwise(stacks):
        after.middle = before.middle + max(
            (before.wide + after.wide) / 2 + APART, (_label(before) + _label(after)) / 2 + 12
        )
        half = max((text_width(line, SMALL) for line in after.station.text), default=0.0) / 2
        # The text on what computes a stack stands below the gap, which moves by half of what the stack does.
        short = end + 10 + half - _gap(before, after)
        after.middle += max(0.0, 2 * short)
        end = _gap(before, after) + half


def _fronts(stack: Stack, middle: float) -> list[tuple[float, float]]:
    """Return left and top of the front map of each group."""
    each = stack.height + SHEET * (stack.sheets - 1)
    top = middle - stack.tall / 2 + SHEET * (stack.sheets - 1)
    return [(stack.middle - stack.wide / 2, top + (each + 14) * group) for group in range(stack.station.groups)]


def _stack(stack: Stack, middle: float) -> list[Drawn]:
    shapes: list[Drawn] = []
    for left, top in _fronts(stack, middle):
        for sheet in range(stack.sheets - 1, -1, -1):
            shift = SHEET * sheet
            fill = colour(stack.station.locus)
            shapes.append(Box(left + shift, top - shift, stack.width, stack.height, fill, INK, 0))
    return shapes


def _links(before: Stack, after: Stack, middle: float) -> list[Drawn]:
    """Return the window on the maps before with the unit it computes, or outlines where every unit reads all."""
    shapes: list[Drawn] = []
    pairs = list(zip(_fronts(before, middle), _fronts(after, middle), strict=False))
    if after.station.crosses or len(pairs) < max(before.station.groups, after.station.groups):
        pairs = [(start, end) for start in _fronts(before, middle) for end in _fronts(after, middle)]
    for (left, top), (next_left, next_top) in pairs:
        if after.flat or before.flat or after.station.window is None:
            right = left + before.width
            for start, end in ((0.0, 0.0), (1.0, 1.0)):
                points = (right, top + start * before.height), (next_left, next_top + end * after.height)
                shapes.append(Line(points, GREY, 0.8))
            continue
        rows, columns = before.station.shape[1:]
        wide, tall = (
            min(max(5.0, size * kernel / side), 0.8 * size)
            for size, kernel, side in zip(
                (before.width, before.height), reversed(after.station.window), (columns, rows), strict=True
            )
        )
        x, y = left + (before.width - wide) * 0.75, top + (before.height - tall) * 0.25
        unit = next_left + after.width * 0.2, next_top + after.height * 0.7
        shapes += [Line(((x + wide, corner), unit), INK, 0.7) for corner in (y, y + tall)]
        shapes.append(Box(x, y, wide, tall, PAPER, INK))
        shapes.append(Box(unit[0] - 2, unit[1] - 2, 4, 4, INK))
    return shapes


def _head(anatomy: Measurement, words: Words, title: str, width: float) -> list[Drawn]:
    parts = [
        f"photo {shape_text(words.shown[0])}",
        amount(anatomy.parameters, "parameters"),
        amount(anatomy.macs, "MACs"),
    ]
    lines = wrapped(" · ".join(parts), width - 2 * MARGIN, LINE)
    texts = [Text(MARGIN, 53 + 15 * at, line, LINE, fill=GREY) for at, line in enumerate(lines)]
    return [Text(MARGIN, 34, title, 18, True), *texts]


def _legend(stacks: Sequence[Stack], top: float, width: float) -> list[Drawn]:
    shapes, y = swatches({stack.station.locus for stack in stacks[1:]}, MARGIN, top - 9, width - MARGIN)
    note = "C@H×W: C maps of H rows and W columns. A window on the maps before makes one unit of the maps after."
    texts = wrapped(note, width - 2 * MARGIN, SMALL)
    return [*shapes, *(Text(MARGIN, y + 29 + 13 * at, line, SMALL, fill=GREY) for at, line in enumerate(texts))]
