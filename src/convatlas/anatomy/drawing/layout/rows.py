"""Lay out a chain that is too wide for one row on several, below one another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from convatlas.anatomy.drawing.layout.canvas import Canvas
from convatlas.anatomy.drawing.layout.chains import ChainLayout
from convatlas.anatomy.drawing.layout.elements import Element
from convatlas.anatomy.measure.records import Shape

TURN, APART = 12.0, 16.0
"""Room beside the rows for the line from the end of one to the start of the next; distance of the rows."""


def rows(elements: Sequence[Element], before: Shape, room: float, labelled: bool = False) -> list[ChainLayout]:
    """Return elements on rows that are no wider than `room`, unless a single element is."""
    done: list[ChainLayout] = []
    run: list[Element] = []
    start = shape = before
    for element in elements:
        if run and ChainLayout([*run, element], start, labelled=labelled).width > room:
            done.append(ChainLayout(run, start, labelled=labelled))
            run, start, labelled = [], shape, False
        run.append(element)
        shape = element.shape or shape
    return [*done, ChainLayout(run, start, labelled=labelled)]


class RowsLayout:
    """Rows of elements as one element, which is entered and left at the height of the first row."""

    def __init__(self, chains: Sequence[ChainLayout]):
        self.rows = chains
        self.shape = chains[-1].shape
        self.width = max(row.width for row in chains) + 3 * TURN
        self.levels = [0.0]
        for before, row in pairwise(chains):
            self.levels.append(self.levels[-1] + before.below + APART + row.above)
        self.above, self.below = chains[0].above, self.levels[-1] + chains[-1].below

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
        """See `Element`."""
        left = x + TURN
        canvas.line((x, y), (left, y))
        for at, (row, level) in enumerate(zip(self.rows, self.levels, strict=True)):
            row.paint(canvas, left, y + level)
            end = left + row.width
            if at + 1 < len(self.rows):
                between, under = y + level + row.below + APART / 2, y + self.levels[at + 1]
                turn = end + TURN / 2, left - TURN / 2
                canvas.line(
                    (end, y + level), (turn[0], y + level), (turn[0], between), (turn[1], between), (turn[1], under),
                    (left, under), arrow=True,
                )  # fmt: skip
            else:
                right = x + self.width - TURN / 2
                canvas.line((end, y + level), (right, y + level), (right, y), (x + self.width, y))
