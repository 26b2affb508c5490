"""Lay out a recurrence: its layers in a chain, and above them the arrows that lead back."""

from __future__ import annotations

from convatlas.anatomy.drawing.labels import short_kind
from convatlas.anatomy.drawing.layout.canvas import Canvas
from convatlas.anatomy.drawing.layout.chains import HEADED, SIDE, arrow
from convatlas.anatomy.drawing.layout.elements import SHORT_GAP, SMALL, STRIP, TINY, UnitBox
from convatlas.anatomy.drawing.sketch.pieces import Recurrence, Unit
from convatlas.pictures.palette import colour
from convatlas.pictures.shapes import GREY, INK, PAPER, Box, Text
from convatlas.pictures.text import text_width

RISE, LEVEL = 12.0, 9.0
"""Height of the lowest arrow back above the boxes, and distance of the next ones."""

NAME = "recurrence"


class RecurrenceLayout:
    """The boxes of a recurrence in a frame, with the number of its steps in the frame's corner."""

    def __init__(self, piece: Recurrence):
        loop = piece.loop
        self.shape, self.steps = piece.shape, f"{loop.steps} steps"
        self.units = [
            UnitBox(Unit(piece.layers, (name, str(width)), locus, after=after))
            for name, width, locus, after in zip(
                loop.names,
                loop.widths,
                ("other", *["dense"] * (len(loop.widths) - 1)),
                ((), *(_strip(function) for function in loop.functions)),
                strict=True,
            )
        ]
        places = {name: at for at, name in enumerate(loop.names)}
        self.arcs = [(places[source], places[target]) for source, target in loop.arrows]
        for at, box in enumerate(self.units):
            # Arrows that arrive side by side keep their heads apart.
            box.width = max(box.width, 24.0 * (sum(target == at for _, target in self.arcs) - 1))
        self.levels = _levels(self.arcs)
        self.tall = max(box.height for box in self.units) / 2
        self.inner = sum(box.width for box in self.units) + SHORT_GAP * (len(self.units) - 1)
        self.name_width = text_width(NAME, TINY) + text_width(self.steps, SMALL) + 40
        self.width = max(self.inner, self.name_width) + 2 * SIDE
        self.above = self.tall + RISE + LEVEL * max([0, *self.levels]) + HEADED
        self.below = self.tall + SIDE

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
        """See `Element`."""
        top, wide = y - self.above, text_width(self.steps, SMALL) + 8
        canvas.back.append(Box(x, top, self.width, self.above + self.below, PAPER, GREY, 6, dashed=True))
        canvas.front.append(Text(x + 7, top + 11, NAME, TINY, fill=GREY))
        right = x + self.width - 6
        canvas.front.append(Box(right - wide, top + 3, wide, STRIP, colour("feedback"), INK))
        canvas.front.append(Text(right - wide / 2, top + 13, self.steps, SMALL, anchor="middle"))
        left = x + (self.width - self.inner) / 2
        canvas.line((x, y), (left, y))
        lefts = []
        for at, box in enumerate(self.units):
            if at:
                arrow(canvas, left - SHORT_GAP, left, y, "", True)
            box.paint(canvas, left, y)
            lefts.append(left)
            left += box.width + SHORT_GAP
        canvas.line((left - SHORT_GAP, y), (x + self.width, y))
        for number, (source, target) in enumerate(self.arcs):
            level = y - self.tall - RISE - LEVEL * self.levels[number]
            out = lefts[source] + self.units[source].width * self._share(number, source, outward=True)
            back = lefts[target] + self.units[target].width * self._share(number, target, outward=False)
            tops = [y - self.units[at].height / 2 for at in (source, target)]
            canvas.line((out, tops[0]), (out, level), (back, level), (back, tops[1]), arrow=True)

    def _share(self, number: int, at: int, outward: bool) -> float:
        """Return where along the top of a box an arrow leaves (right) or arrives (left): long ones farther out."""
        mine = [arc for arc, ends in enumerate(self.arcs) if ends[0 if outward else 1] == at]
        mine.sort(key=lambda arc: self.levels[arc])
        step = 0.36 * mine.index(number) / max(len(mine) - 1, 1)
        return 0.58 + step if outward else 0.42 - step


def _strip(function: str) -> tuple[tuple[str, str], ...]:
    return ((short_kind(function), "activation"),) if function != "identity" else ()


def _levels(arcs: list[tuple[int, int]]) -> list[int]:
    """Return for each arrow the lowest level at which it meets no shorter one."""
    levels = [0] * len(arcs)
    done: list[int] = []
    for arc in sorted(range(len(arcs)), key=lambda at: (arcs[at][0] - arcs[at][1], arcs[at])):
        source, target = arcs[arc]
        meeting = [levels[other] for other in done if arcs[other][1] <= source and target <= arcs[other][0]]
        levels[arc] = 1 + max(meeting, default=-1)
        done.append(arc)
    return levels
