"""Elements of elements: chains, the ways of a fork, frames."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from convatlas.anatomy.drawing.canvas import Ink
from convatlas.anatomy.drawing.elements import GAP, LINE, SHORT_GAP, SMALL, TINY, Element, EntryBox, Joint
from convatlas.anatomy.drawing.names import times
from convatlas.anatomy.drawing.units import Unit
from convatlas.anatomy.measure.records import Shape
from convatlas.pictures.shapes import GREY, PAPER, Box, Text
from convatlas.pictures.text import text_width


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
        if elements and isinstance(elements[0], EntryBox):
            # What comes from elsewhere is told in any case.
            known = ()
        self.gaps: list[tuple[float, str]] = []
        for at, element in enumerate(elements):
            text = times(self.shape) if (at and self.shape != known) or (told and not at) else ""
            known = self.shape if at else known
            self.gaps.append((_gap(text) if at or lead or told else 0.0, text))
            self.shape = element.shape or self.shape
        text = times(self.shape) if tail and self.shape != known else ""
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
        self.offsets = _stacked(ways, centred=len(ways) > 2, ordered=joint.sign == "concat")
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


def _stacked(ways: Sequence[Chain], centred: bool, ordered: bool) -> list[float]:
    """How far below the line each way runs: the widest on it and the others above, or all around it.

    Ways whose order matters stand in it.
    """
    main = max(range(len(ways)), key=lambda at: (ways[at].width, at))
    order = list(range(len(ways))) if centred or ordered else [*(at for at in range(len(ways)) if at != main), main]
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
        self.frame = max(chain.width + 2 * SIDE, text_width(name, TINY) + badge + 22)
        self.width = self.frame + (SHADOW if times > 1 else 0)
        headed = bool(name) or times > 1
        self.above = chain.above + (HEADED if headed else SIDE)
        self.below = chain.below + SIDE + (SHADOW if times > 1 else 0)

    def paint(self, ink: Ink, x: float, y: float) -> None:
        """See `Element`."""
        top, height = y - self.above, self.above + self.chain.below + SIDE
        for shift in (SHADOW, SHADOW / 2) if self.times > 1 else ():
            ink.back.append(Box(x + shift, top + shift, self.frame, height, PAPER, GREY, 6))
        ink.back.append(Box(x, top, self.frame, height, PAPER, GREY, 6, dashed=self.times == 1))
        if self.name:
            ink.front.append(Text(x + 7, top + 11, self.name, TINY, fill=GREY))
        if self.times > 1:
            ink.front.append(Text(x + self.frame - 7, top + 13, f"×{self.times}", LINE, True, "end"))
        inner = x + (self.frame - self.chain.width) / 2
        ink.line((x, y), (inner, y))
        self.chain.paint(ink, inner, y)
        ink.line((inner + self.chain.width, y), (x + self.width, y))


SIDE, HEADED, SHADOW = 9.0, 19.0, 4.0
"""Between a frame and what is in it, at the sides, and above where it is named; of the frames behind a repeated one."""


def _gap(told: str) -> float:
    return text_width(told, SMALL) + 16 if told else SHORT_GAP


def arrow(ink: Ink, start: float, end: float, y: float, told: str, head: bool) -> None:
    """A level line from `start` to `end`, with a shape above it."""
    ink.line((start, y), (end, y), arrow=head)
    if told:
        ink.front.append(Text((start + end - (6 if head else 0)) / 2, y - 4, told, SMALL, anchor="middle", fill=GREY))
