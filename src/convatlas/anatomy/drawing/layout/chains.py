"""Lay out elements that hold others: chains, the branches of a fork, frames."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from convatlas.anatomy.drawing.labels import shape_text
from convatlas.anatomy.drawing.layout.canvas import Canvas
from convatlas.anatomy.drawing.layout.elements import GAP, LINE, SHORT_GAP, SMALL, TINY, Element, EntryBox, Joint
from convatlas.anatomy.drawing.sketch.pieces import Unit
from convatlas.anatomy.measure.records import Shape
from convatlas.pictures.shapes import GREY, PAPER, Box, Text
from convatlas.pictures.text import text_width


class ChainLayout:
    """Elements in sequence on one line; an arrow carries the shape where that differs from the shape before.

    With a `lead` an arrow runs to the first element, with the shape on it if `labelled`; with a `tail` the last shape
    is written behind the last element.
    """

    def __init__(
        self, elements: Sequence[Element], before: Shape, lead: bool = False, tail: bool = False, labelled: bool = False
    ):
        self.elements = elements
        self.shape = known = before
        if elements and isinstance(elements[0], EntryBox):
            # The shape of another stage's output is always written.
            known = ()
        self.gaps: list[tuple[float, str]] = []
        for at, element in enumerate(elements):
            text = shape_text(self.shape) if (at and self.shape != known) or (labelled and not at) else ""
            known = self.shape if at else known
            self.gaps.append((_gap(text) if at or lead or labelled else 0.0, text))
            self.shape = element.shape or self.shape
        text = shape_text(self.shape) if tail and self.shape != known else ""
        self.tail = (_gap(text) if text else 0.0), text
        self.width = sum(gap for gap, _ in self.gaps) + sum(element.width for element in elements) + self.tail[0]
        has_labels = any(labelled for _, labelled in (*self.gaps, self.tail))
        self.above = max([12.0 if has_labels else 1.0, *(element.above for element in elements)])
        self.below = max([1.0, *(element.below for element in elements)])

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
        """See `Element`."""
        for element, (gap, labelled) in zip(self.elements, self.gaps, strict=True):
            if gap and not (isinstance(element, EntryBox) and element is self.elements[0]):
                arrow(canvas, x, x + gap, y, labelled, not isinstance(element, ForkLayout))
            element.paint(canvas, x + gap, y)
            x += gap + element.width
        if self.tail[1]:
            arrow(canvas, x, x + self.tail[0], y, self.tail[1], False)


class ForkLayout:
    """Branches above one another between a branching point and the joint."""

    def __init__(self, branches: Sequence[ChainLayout], joint: Unit, before: Shape, tag: str = ""):
        self.branches = branches
        self.offsets = _offsets(branches, centred=len(branches) > 2, ordered=joint.sign == "concat")
        self.inner = max(branch.width for branch in branches)
        tops = [offset - branch.above for offset, branch in zip(self.offsets, branches, strict=True)]
        bottoms = [offset + branch.below for offset, branch in zip(self.offsets, branches, strict=True)]
        self.joint = Joint(joint, 8 - min(self.offsets), 8 + max(self.offsets), tag)
        self.shape = joint.shape or before
        self.width = 2 * TURN + self.inner + JOIN + self.joint.width
        self.above, self.below = max(self.joint.above, -min(tops)), max(self.joint.below, max(bottoms))

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
        """See `Element`."""
        bus, end = x + TURN, x + 2 * TURN + self.inner
        joint = end + JOIN
        self.joint.paint(canvas, joint, y)
        for branch, offset in zip(self.branches, self.offsets, strict=True):
            level = y + offset
            # A branch that starts with another stage's output has no line from here.
            if not (branch.elements and isinstance(branch.elements[0], EntryBox)):
                canvas.line((x, y), (bus, y), (bus, level), (bus + TURN, level))
            branch.paint(canvas, bus + TURN, level)
            enter(canvas, self.joint, (bus + TURN + branch.width, level), (joint, y))


TURN, JOIN = 8.0, 14.0
"""Distance from entry to branching point, the same as from there to the branches; from the branches to the joint."""


def enter(canvas: Canvas, joint: Joint, start: tuple[float, float], at: tuple[float, float]) -> None:
    """Draw the line from the end of a branch into a joint, whose own line starts at `at`."""
    (x, level), (left, y) = start, at
    if joint.open:
        return
    if joint.bar or abs(level - y) < 0.1:
        canvas.line((x, level), (left, level), arrow=True)
    elif joint.box or abs(level - y) < 11:
        # A circle is entered from the left by what arrives at its height.
        canvas.line((x, level), (left - JOIN / 2, level), (left - JOIN / 2, y), (left, y), arrow=True)
    else:
        middle = left + joint.core / 2
        canvas.line((x, level), (middle, level), (middle, y - 9 if level < y else y + 9), arrow=True)


def _offsets(branches: Sequence[ChainLayout], centred: bool, ordered: bool) -> list[float]:
    """Return how far below the line each branch runs: if `centred` all around it, else the widest on it, others above.

    With `ordered` branches keep their order.
    """
    main = max(range(len(branches)), key=lambda at: (branches[at].width, at))
    order = (
        list(range(len(branches))) if centred or ordered else [*(at for at in range(len(branches)) if at != main), main]
    )
    offsets = [0.0] * len(branches)
    for above, at in pairwise(order):
        offsets[at] = offsets[above] + branches[above].below + GAP + branches[at].above
    half = len(order) // 2
    middle = offsets[order[half]] if len(order) % 2 else (offsets[order[half]] + offsets[order[half - 1]]) / 2
    level = middle if centred else offsets[main]
    return [offset - level for offset in offsets]


class FrameLayout:
    """A chain in a frame with a name, which stands for `times` equal ones, the last of which outputs `shape`."""

    def __init__(self, chain: ChainLayout, name: str, times: int = 1, shape: Shape = ()):
        self.chain, self.times, self.shape = chain, times, shape or chain.shape
        badge = text_width(f"×{times}", LINE, True) + 14 if times > 1 else 0.0
        self.name = name
        self.frame = max(chain.width + 2 * SIDE, text_width(name, TINY) + badge + 22)
        self.width = self.frame + (SHADOW if times > 1 else 0)
        headed = bool(name) or times > 1
        self.above = chain.above + (HEADED if headed else SIDE)
        self.below = chain.below + SIDE + (SHADOW if times > 1 else 0)

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
        """See `Element`."""
        top, height = y - self.above, self.above + self.chain.below + SIDE
        for shift in (SHADOW, SHADOW / 2) if self.times > 1 else ():
            canvas.back.append(Box(x + shift, top + shift, self.frame, height, PAPER, GREY, 6))
        canvas.back.append(Box(x, top, self.frame, height, PAPER, GREY, 6, dashed=self.times == 1))
        if self.name:
            canvas.front.append(Text(x + 7, top + 11, self.name, TINY, fill=GREY))
        if self.times > 1:
            canvas.front.append(Text(x + self.frame - 7, top + 13, f"×{self.times}", LINE, True, "end"))
        inner = x + (self.frame - self.chain.width) / 2
        canvas.line((x, y), (inner, y))
        self.chain.paint(canvas, inner, y)
        canvas.line((inner + self.chain.width, y), (x + self.width, y))


SIDE, HEADED, SHADOW = 9.0, 19.0, 4.0
"""Distance of a frame from its content: at the sides, and above where it is named; offset of repeated frames."""


def _gap(label: str) -> float:
    return text_width(label, SMALL) + 16 if label else SHORT_GAP


def arrow(canvas: Canvas, start: float, end: float, y: float, label: str, head: bool) -> None:
    """Draw a horizontal line from `start` to `end`, with a label above it."""
    canvas.line((start, y), (end, y), arrow=head)
    if label:
        canvas.front.append(
            Text((start + end - (6 if head else 0)) / 2, y - 4, label, SMALL, anchor="middle", fill=GREY)
        )
