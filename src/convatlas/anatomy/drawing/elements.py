"""Sketches with a place: each element has a width, a height above and below the line that runs through it, and paints
itself from the point where that line enters. What it paints stays inside.
"""  # noqa: D205

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from convatlas.anatomy.anatomies import Shape
from convatlas.anatomy.drawing.fonts import text_width
from convatlas.anatomy.drawing.ink import Ink
from convatlas.anatomy.drawing.names import shaped
from convatlas.anatomy.drawing.palette import colour
from convatlas.anatomy.drawing.shapes import GREY, INK, PAPER, Box, Disc, Group, Text
from convatlas.anatomy.drawing.shapes import Shape as Drawn
from convatlas.anatomy.drawing.units import Strip, Unit

LINE, SMALL, TINY = 11.0, 9.0, 8.0
"""Sizes of text: in boxes, in strips and on arrows, and of names."""

STRIP, ROW = 14.0, 14.0
"""Heights of a strip and of a line of text in a box."""

LOOP = 16.0
"""How high the arrow runs that leads from a box back to itself."""

GAP, SHORT_GAP = 12.0, 20.0
"""Between ways, and between boxes whose shape needs no telling."""


class Element(Protocol):
    """What can be placed: see the module."""

    width: float
    above: float
    below: float
    shape: Shape

    def paint(self, ink: Ink, x: float, y: float) -> None:
        """Draws it with its line entering at (x, y) and leaving at (x + width, y)."""


class UnitBox:
    """A box: strips for what comes before, the main part, strips for what comes after."""

    def __init__(self, unit: Unit, tag: str = ""):
        self.unit = unit
        self.tag = tag
        self.shape = unit.shape
        lines = [text_width(line, LINE if at == 0 else SMALL + 1) for at, line in enumerate(unit.text)]
        strips = [_strips_width(strips) for strips in (unit.before, unit.after)]
        self.width = max([40.0, *(wide + 14 for wide in lines), *strips])
        self.loops = bool(unit.text) and unit.text[-1].endswith(" steps")
        self.main = len(unit.text) * ROW + 8 if unit.text else 0.0
        self.height = self.main + STRIP * (bool(unit.before) + bool(unit.after))
        self.above = self.height / 2 + (LOOP if self.loops else 0)
        self.below = self.height / 2

    def paint(self, ink: Ink, x: float, y: float) -> None:
        """See `Element`."""
        unit, top = self.unit, y - self.height / 2
        shapes: list[Drawn] = []
        if self.loops:
            left, right = x + self.width * 0.25, x + self.width * 0.75
            ink.line((right, top), (right, top - LOOP + 2), (left, top - LOOP + 2), (left, top), arrow=True)
        if unit.before:
            shapes += _strips(unit.before, x, top, self.width)
            top += STRIP
        if unit.text:
            shapes.append(Box(x, top, self.width, self.main, colour(unit.locus), INK, 3))
            for at, line in enumerate(unit.text):
                size = LINE if at == 0 else SMALL + 1
                shapes.append(Text(x + self.width / 2, top + 4 + ROW * at + 10.5, line, size, anchor="middle"))
            top += self.main
        if unit.after:
            shapes += _strips(unit.after, x, top, self.width)
        if self.tag:
            shapes += tag(self.tag, x + self.width, y - self.height / 2)
        ink.front.append(Group(tuple(shapes), ink.titled(unit.layers), unit.layers))


def _strips_width(strips: Sequence[Strip]) -> float:
    return sum(text_width(name, SMALL) + 8 for name, _ in strips)


def _strips(strips: Sequence[Strip], x: float, y: float, width: float) -> list[Drawn]:
    """Strips side by side over a width that is shared by what they need."""
    spare = (width - _strips_width(strips)) / len(strips)
    shapes: list[Drawn] = []
    for name, locus in strips:
        wide = text_width(name, SMALL) + 8 + spare
        shapes.append(Box(x, y, wide, STRIP, colour(locus), INK))
        shapes.append(Text(x + wide / 2, y + STRIP - 4, name, SMALL, anchor="middle"))
        x += wide
    return shapes


def tag(letter: str, x: float, y: float) -> list[Drawn]:
    """The mark of a tensor that is read elsewhere, around (x, y)."""
    return [Disc(x, y, 7, PAPER, INK), Text(x, y + 3.3, letter, SMALL, True, "middle")]


class EntryBox:
    """The mark of what another stage gave: its name, or the letter of its tag."""

    above = below = 9.0

    def __init__(self, number: int, name: str, shape: Shape):
        self.number, self.name, self.shape = number, name, shape
        self.width = text_width(name, SMALL) + 14

    def paint(self, ink: Ink, x: float, y: float) -> None:
        """See `Element`."""
        ink.entries.append((self.number, (x, y)))
        pill = Box(x, y - 9, self.width, 18, PAPER, GREY, 9)
        ink.front += [pill, Text(x + self.width / 2, y + 3.3, self.name, SMALL, anchor="middle", fill=GREY)]


class Joint:
    """Where ways meet: a sign in a circle, a bar beside all of them, or a box; then what follows at once.

    Without layers it is nothing: the ways end there, each by itself.
    """

    def __init__(self, unit: Unit, above: float, below: float, tag: str = ""):
        self.unit, self.tag, self.shape = unit, tag, unit.shape
        self.box = UnitBox(Unit(unit.layers, unit.text, unit.locus)) if unit.text else None
        self.bar = unit.sign == "concat"
        self.core = self.box.width if self.box else 16.0 if self.bar else 18.0
        self.after = _strips_width(unit.after)
        self.open = not unit.layers
        self.width = 0.0 if self.open else self.core + (self.after + 4 if unit.after else 0)
        half = max(21.0, self.box.above if self.box else 0) if self.bar or self.box else 9.0
        self.above = max(half, above) if self.bar else half
        self.below = max(half, below) if self.bar else half

    def paint(self, ink: Ink, x: float, y: float) -> None:
        """See `Element`."""
        if self.open:
            return
        shapes: list[Drawn] = []
        middle = x + self.core / 2
        if self.bar:
            height = self.above + self.below
            shapes.append(Box(x, y - self.above, self.core, height, colour("skip"), INK, 3))
            centre = y + (self.below - self.above) / 2
            shapes.append(Text(middle + 3.2, centre, "concat", SMALL, anchor="middle", turned=True))
        elif self.box:
            self.box.paint(ink, x, y)
        else:
            shapes.append(Disc(middle, y, 9, colour("skip"), INK))
            shapes.append(Text(middle, y + 4.4, self.unit.sign, 13, anchor="middle"))
        if self.unit.after:
            ink.line((x + self.core, y), (x + self.core + 4, y))
            shapes += _strips(self.unit.after, x + self.core + 4, y - STRIP / 2, self.after)
        if self.tag:
            shapes += tag(self.tag, x + self.width, y - 16)
        if shapes:
            ink.front.append(Group(tuple(shapes), ink.titled(self.unit.layers), self.unit.layers))


class Chain:
    """Elements one after the other on one line; the shape stands on an arrow where it is not the one before.

    With a `lead` an arrow runs to the first element, which tells its shape if it is `told` to; with a `tail` the last
    shape is told behind the last element.
    """

    def __init__(
        self, elements: Sequence[Element], before: Shape, lead: bool = False, tail: bool = False, told: bool = False
    ):
        self.elements = elements
        self.shape = known = before
        self.gaps: list[tuple[float, str]] = []
        for at, element in enumerate(elements):
            text = shaped(self.shape) if (at and self.shape != known) or (told and not at) else ""
            known = self.shape if at else known
            self.gaps.append((_gap(text) if at or lead or told else 0.0, text))
            self.shape = element.shape or self.shape
        text = shaped(self.shape) if tail and self.shape != known else ""
        self.tail = (_gap(text) if text else 0.0), text
        self.width = sum(gap for gap, _ in self.gaps) + sum(one.width for one in elements) + self.tail[0]
        labelled = any(told for _, told in (*self.gaps, self.tail))
        self.above = max([12.0 if labelled else 1.0, *(element.above for element in elements)])
        self.below = max([1.0, *(element.below for element in elements)])

    def paint(self, ink: Ink, x: float, y: float) -> None:
        """See `Element`."""
        for element, (gap, told) in zip(self.elements, self.gaps, strict=True):
            if gap and not (isinstance(element, EntryBox) and element is self.elements[0]):
                arrow(ink, x, x + gap, y, told, not isinstance(element, Fork))
            element.paint(ink, x + gap, y)
            x += gap + element.width
        if self.tail[1]:
            arrow(ink, x, x + self.tail[0], y, self.tail[1], False)


class Fork:
    """Ways above one another between a branching point and the joint."""

    def __init__(self, ways: Sequence[Chain], joint: Unit, before: Shape, tag: str = ""):
        self.ways = ways
        self.offsets = _stacked(ways, centred=len(ways) > 2)
        self.inner = max(way.width for way in ways)
        tops = [offset - way.above for offset, way in zip(self.offsets, ways, strict=True)]
        bottoms = [offset + way.below for offset, way in zip(self.offsets, ways, strict=True)]
        self.joint = Joint(joint, 8 - min(self.offsets), 8 + max(self.offsets), tag)
        self.shape = joint.shape or before
        self.width = 2 * TURN + self.inner + JOIN + self.joint.width
        self.above, self.below = max(self.joint.above, -min(tops)), max(self.joint.below, max(bottoms))

    def paint(self, ink: Ink, x: float, y: float) -> None:
        """See `Element`."""
        bus, end = x + TURN, x + 2 * TURN + self.inner
        joint = end + JOIN
        self.joint.paint(ink, joint, y)
        for way, offset in zip(self.ways, self.offsets, strict=True):
            level = y + offset
            # A way that begins with what another stage gave has no line from here.
            if not (way.elements and isinstance(way.elements[0], EntryBox)):
                ink.line((x, y), (bus, y), (bus, level), (bus + TURN, level))
            way.paint(ink, bus + TURN, level)
            enter(ink, self.joint, (bus + TURN + way.width, level), (joint, y))


TURN, JOIN = 8.0, 14.0
"""From the entry to the branching point and from there to the ways; and from the ways to the joint."""


def enter(ink: Ink, joint: Joint, start: tuple[float, float], at: tuple[float, float]) -> None:
    """A line from the end of a way into a joint whose line begins at a place."""
    (x, level), (left, y) = start, at
    if joint.open:
        return
    if joint.bar or abs(level - y) < 0.1:
        ink.line((x, level), (left, level), arrow=True)
    elif joint.box:
        ink.line((x, level), (left - JOIN / 2, level), (left - JOIN / 2, y), (left, y), arrow=True)
    else:
        middle = left + joint.core / 2
        ink.line((x, level), (middle, level), (middle, y - 9 if level < y else y + 9), arrow=True)


def _stacked(ways: Sequence[Chain], centred: bool) -> list[float]:
    """How far below the line each way runs: the widest on it and the others above, or all around it."""
    main = max(range(len(ways)), key=lambda at: (ways[at].width, at))
    order = list(range(len(ways))) if centred else [*(at for at in range(len(ways)) if at != main), main]
    offsets = [0.0] * len(ways)
    for above, at in pairwise(order):
        offsets[at] = offsets[above] + ways[above].below + GAP + ways[at].above
    half = len(order) // 2
    middle = offsets[order[half]] if len(order) % 2 else (offsets[order[half]] + offsets[order[half - 1]]) / 2
    level = middle if centred else offsets[main]
    return [offset - level for offset in offsets]


class Framed:
    """A chain in a frame with a name; with `times`, it stands for as many."""

    def __init__(self, chain: Chain, name: str, times: int = 1):
        self.chain, self.times, self.shape = chain, times, chain.shape
        badge = text_width(f"×{times}", LINE, True) + 14 if times > 1 else 0.0
        self.name = name
        self.width = max(chain.width + 2 * SIDE, text_width(name, TINY) + badge + 22)
        headed = bool(name) or times > 1
        self.above = chain.above + (HEADED if headed else SIDE)
        self.below = chain.below + SIDE

    def paint(self, ink: Ink, x: float, y: float) -> None:
        """See `Element`."""
        top, height = y - self.above, self.above + self.below
        for shift in (4, 2) if self.times > 1 else ():
            ink.back.append(Box(x + shift, top + shift, self.width, height, PAPER, GREY, 6))
        ink.back.append(Box(x, top, self.width, height, PAPER, GREY, 6, dashed=self.times == 1))
        if self.name:
            ink.front.append(Text(x + 7, top + 11, self.name, TINY, fill=GREY))
        if self.times > 1:
            ink.front.append(Text(x + self.width - 7, top + 13, f"×{self.times}", LINE, True, "end"))
        inner = x + (self.width - self.chain.width) / 2
        ink.line((x, y), (inner, y))
        self.chain.paint(ink, inner, y)
        ink.line((inner + self.chain.width, y), (x + self.width, y))


SIDE, HEADED = 9.0, 19.0
"""Between a frame and what is in it: at the sides, and above where it is named."""


def _gap(told: str) -> float:
    return text_width(told, SMALL) + 16 if told else SHORT_GAP


def arrow(ink: Ink, start: float, end: float, y: float, told: str, head: bool) -> None:
    """A level line from `start` to `end`, with a shape above it."""
    ink.line((start, y), (end, y), arrow=head)
    if told:
        ink.front.append(Text((start + end - (6 if head else 0)) / 2, y - 4, told, SMALL, anchor="middle", fill=GREY))
