"""Turn sketches into elements that have a size and a place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby

from convatlas.anatomy.drawing.layout.chains import ChainLayout, ForkLayout, FrameLayout
from convatlas.anatomy.drawing.layout.elements import Element, EntryBox, Joint, UnitBox
from convatlas.anatomy.drawing.layout.graph import GraphLayout
from convatlas.anatomy.drawing.layout.recurrence import RecurrenceLayout
from convatlas.anatomy.drawing.layout.rows import RowsLayout, rows
from convatlas.anatomy.drawing.sketch.pieces import (
    Entry,
    ForkPiece,
    Frame,
    GraphPiece,
    Piece,
    Recurrence,
    Repeat,
    Sketch,
    Unit,
    count_boxes,
    numbers,
)
from convatlas.anatomy.measure.records import Shape
from convatlas.anatomy.structure.tokens import Words

NARROW, INDENT = 640.0, 60.0
"""Width up to which no chain is divided, and what a fork or frame needs beyond the width of its content."""


class Layout:
    """Turns sketches into elements.

    Args:
        entries: Function from a layer of another stage to the text of its mark.
        tags: Letters of the outputs inside a stage that other stages read, by layer.
    """

    def __init__(self, entries: Callable[[int], str], tags: Mapping[int, str]):
        self.entries, self.tags = entries, tags

    def chain(
        self, sketch: Sketch, before: Shape, room: float = NARROW, lead: bool = False, tail: bool = False
    ) -> ChainLayout:
        """Return a sketch on one row; if it is wider than `room`, on several, which are one element."""
        elements: list[Element] = []
        shape = before
        for piece in sketch:
            elements.append(self.element(piece, shape, room))
            shape = elements[-1].shape or shape
        chain = ChainLayout(elements, before, lead, tail)
        if chain.width <= room or len(elements) == 1:
            return chain
        return ChainLayout([RowsLayout(rows(elements, before, room))], before, lead, tail)

    def element(self, piece: Piece, before: Shape, room: float = NARROW) -> Element:
        """Return the element of a piece, at most about as wide as `room` if it can be divided."""
        inside = max(room - INDENT, NARROW)
        if isinstance(piece, Unit):
            return Joint(piece, 0, 0, self._tag(piece)) if piece.sign else UnitBox(piece, self._tag(piece))
        if isinstance(piece, Entry):
            return EntryBox(piece.number, self.entries(piece.number), piece.shape)
        if isinstance(piece, Recurrence):
            return RecurrenceLayout(piece)
        if isinstance(piece, ForkPiece):
            # A sum has the shape of its terms, which is written behind the sum.
            labelled = piece.join.sign not in ("+", "×")
            branches = [self.chain(branch, before, inside, lead=True, tail=labelled) for branch in piece.branches]
            return ForkLayout(branches, piece.join, before, self._tag(piece.join))
        if isinstance(piece, GraphPiece):
            shapes: list[Shape] = []
            nodes: list[ChainLayout] = []
            for sketch, inputs in piece.nodes:
                source = before if not inputs or inputs[0] < 0 else shapes[inputs[0]]
                # The shape after poolings and borders is that of the convolutions behind them.
                last = sketch[-1]
                labelled = isinstance(last, Unit) and last.locus in ("convolution", "dense")
                nodes.append(self.chain(sketch, source, NARROW, tail=labelled))
                shapes.append(nodes[-1].shape)
            return GraphLayout(
                nodes, [inputs for _, inputs in piece.nodes], piece.ends, piece.join, before, self._tag(piece.join)
            )
        times, shape = (piece.times, piece.shape) if isinstance(piece, Repeat) else (1, ())
        return FrameLayout(self.chain(piece.sketch, before, inside), piece.name, times, shape)

    def _tag(self, unit: Unit) -> str:
        return next((self.tags[number] for number in unit.layers if number in self.tags), "")


def add_frames(sketch: Sketch, words: Words, stage: str) -> Sketch:
    """Return the sketch with a frame around each named module of the stage, if there are several."""
    named = [_module(piece, words, stage) for piece in sketch]
    groups = groupby(zip(named, sketch, strict=True), key=lambda pair: pair[0])
    parts = [(name, tuple(piece for _, piece in run)) for name, run in groups]
    if len(set(named) - {""}) < 2:
        return sketch
    result: list[Piece] = []
    for name, pieces in parts:
        result += [Frame(name, pieces)] if name and count_boxes(pieces) > 1 else pieces
    return tuple(result)


def _module(piece: Piece, words: Words, stage: str) -> str:
    """Return the module of the stage that holds all layers of a piece; "" if there is none."""
    depth = len(stage.split("."))
    layers = [words.layers[number].name.split(".") for number in numbers([piece]) if number > 0]
    names = {".".join(parts[: depth + 1]) for parts in layers}
    if len(names) != 1 or all(len(parts) <= depth + 1 for parts in layers):
        return ""
    name = names.pop()
    short = name.rpartition(".")[2]
    return name if short.isdigit() else short
