"""Lay out single boxes.

An element has a width and a height above and below the line that runs through it, and paints itself from the point
where that line enters. Everything it paints stays inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from convatlas.anatomy.drawing.layout.canvas import Canvas
from convatlas.anatomy.drawing.sketch.pieces import Strip, Unit
from convatlas.anatomy.measure.records import Shape
from convatlas.pictures.palette import colour
from convatlas.pictures.shapes import GREY, INK, PAPER, Box, Disc, Group, Text
from convatlas.pictures.shapes import Shape as Drawn
from convatlas.pictures.text import text_width

LINE, SMALL, TINY = 11.0, 9.0, 8.0
"""Sizes of text: in boxes; in strips and on arrows; of names."""

STRIP, ROW = 14.0, 14.0
"""Heights of a strip and of a line of text in a box."""

LOOP = 16.0
"""Height of the arrow that leads from a box back to itself."""

GAP, SHORT_GAP = 12.0, 20.0
"""Distance of branches, and of boxes without a shape on the arrow between them."""


class Element(Protocol):
    """Anything that has a size and can be painted."""

    width: float
    above: float
    below: float
    shape: Shape

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
        """Paint it with its line entering at (x, y) and leaving at (x + width, y)."""


class UnitBox:
    """A box: strips for the layers before, the main part, strips for the layers after."""

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

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
        """See `Element`."""
        unit, top = self.unit, y - self.height / 2
        shapes: list[Drawn] = []
        if self.loops:
            left, right = x + self.width * 0.25, x + self.width * 0.75
            canvas.line((right, top), (right, top - LOOP + 2), (left, top - LOOP + 2), (left, top), arrow=True)
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
        canvas.front.append(Group(tuple(shapes), canvas.titled(unit.layers), unit.layers))


def _strips_width(strips: Sequence[Strip]) -> float:
    return sum(text_width(name, SMALL) + 8 for name, _ in strips)


def _strips(strips: Sequence[Strip], x: float, y: float, width: float) -> list[Drawn]:
    """Return strips side by side that fill a width."""
    spare = (width - _strips_width(strips)) / len(strips)
    shapes: list[Drawn] = []
    for name, locus in strips:
        wide = text_width(name, SMALL) + 8 + spare
        shapes.append(Box(x, y, wide, STRIP, colour(locus), INK))
        shapes.append(Text(x + wide / 2, y + STRIP - 4, name, SMALL, anchor="middle"))
        x += wide
    return shapes


def tag(letter: str, x: float, y: float) -> list[Drawn]:
    """Return the mark, around (x, y), of a tensor that another stage reads."""
    return [Disc(x, y, 7, PAPER, INK), Text(x, y + 3.3, letter, SMALL, True, "middle")]


class EntryBox:
    """The mark of another stage's output: its name, or the letter of its tag."""

    above = below = 9.0

    def __init__(self, number: int, name: str, shape: Shape):
        self.number, self.name, self.shape = number, name, shape
        self.width = text_width(name, SMALL) + 14

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
        """See `Element`."""
        canvas.entries.append((self.number, (x, y)))
        pill = Box(x, y - 9, self.width, 18, PAPER, GREY, 9)
        canvas.front += [pill, Text(x + self.width / 2, y + 3.3, self.name, SMALL, anchor="middle", fill=GREY)]


class Joint:
    """The place where branches meet: a sign in a circle, a bar beside all of them, or a box, with strips behind it.

    Without layers it is empty: each branch ends by itself.
    """

    def __init__(self, unit: Unit, above: float, below: float, tag: str = ""):
        self.unit, self.tag, self.shape = unit, tag, unit.shape
        self.box = UnitBox(Unit(unit.layers, unit.text, unit.locus), tag) if unit.text else None
        self.bar = unit.sign == "concat"
        self.core = self.box.width if self.box else 16.0 if self.bar else 18.0
        self.after = _strips_width(unit.after)
        self.open = not unit.layers
        self.width = 0.0 if self.open else self.core + (self.after + 4 if unit.after else 0)
        tall, deep = (self.box.above, self.box.below) if self.box else (0.0, 0.0)
        least = 21.0 if self.bar or self.box else 9.0
        self.above = max(least, tall, above if self.bar else 0.0)
        self.below = max(least, deep, below if self.bar else 0.0)

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
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
            self.box.paint(canvas, x, y)
        else:
            shapes.append(Disc(middle, y, 9, colour("skip"), INK))
            shapes.append(Text(middle, y + 4.4, self.unit.sign, 13, anchor="middle"))
        if self.unit.after:
            canvas.line((x + self.core, y), (x + self.core + 4, y))
            shapes += _strips(self.unit.after, x + self.core + 4, y - STRIP / 2, self.after)
        if self.tag and not self.box:
            shapes += tag(self.tag, x + self.width, y - (self.above if self.bar else 16))
        if shapes:
            canvas.front.append(Group(tuple(shapes), canvas.titled(self.unit.layers), self.unit.layers))
