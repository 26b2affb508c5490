"""Define the pieces of sketches, which have no place yet: units, forks, graphs and repeats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from convatlas.anatomy.measure.hyperparameters import Loop
from convatlas.anatomy.measure.records import Shape
from convatlas.anatomy.structure.repeats import runs

Strip = tuple[str, str]
"""Short name and locus of an attached layer."""


@dataclass(frozen=True)
class Unit:
    """One box.

    Attributes:
        layers: Numbers of the layers in it.
        text: Its lines; empty if it holds only layers attached to another one.
        locus: Locus of its main layer.
        before: Strips in front of it: normalization and activation of a pre-activated block.
        after: Strips behind it.
        sign: `+`, `×` or `concat` where branches meet, else "".
        shape: Shape of its output.
    """

    layers: tuple[int, ...]
    text: tuple[str, ...]
    locus: str
    before: tuple[Strip, ...] = ()
    after: tuple[Strip, ...] = ()
    sign: str = ""
    shape: Shape = ()


@dataclass(frozen=True)
class Entry:
    """The output of another stage, by the number of its layer."""

    number: int
    shape: Shape = ()


@dataclass(frozen=True)
class Recurrence:
    """A recurrence, which is one layer of a net: dense layers in a chain with arrows back."""

    layers: tuple[int, ...]
    loop: Loop
    shape: Shape


@dataclass(frozen=True)
class ForkPiece:
    """A fork's branches, and the unit where they meet."""

    branches: tuple[Sketch, ...]
    join: Unit


@dataclass(frozen=True)
class GraphPiece:
    """A graph: for each node its sketch and the indices of its inputs; and the unit that reads the ends."""

    nodes: tuple[tuple[Sketch, tuple[int, ...]], ...]
    ends: tuple[int, ...]
    join: Unit


@dataclass(frozen=True)
class Repeat:
    """A sketch drawn once for `times`; `rest` are the layers of the other times, `shape` is the output of the last."""

    sketch: Sketch
    times: int
    rest: tuple[int, ...] = ()
    name: str = ""
    shape: Shape = ()


@dataclass(frozen=True)
class Frame:
    """A part of a stage that its author named."""

    name: str
    sketch: Sketch


Piece = Unit | Entry | Recurrence | ForkPiece | GraphPiece | Repeat | Frame
Sketch = tuple[Piece, ...]


def sketches_in(piece: Piece) -> tuple[Sketch, ...]:
    """Return the sketches that a piece holds: of branches, of nodes, or the one that it repeats or frames."""
    if isinstance(piece, ForkPiece):
        return piece.branches
    if isinstance(piece, GraphPiece):
        return tuple(sketch for sketch, _ in piece.nodes)
    return (piece.sketch,) if isinstance(piece, Repeat | Frame) else ()


def numbers(sketch: Sequence[Piece]) -> Iterator[int]:
    """Yield the numbers of all layers in a sketch, with those of all times of a repeat."""
    for piece in sketch:
        for inner in sketches_in(piece):
            yield from numbers(inner)
        if isinstance(piece, Unit | Recurrence):
            yield from piece.layers
        elif isinstance(piece, ForkPiece | GraphPiece):
            yield from piece.join.layers
        elif isinstance(piece, Repeat):
            yield from piece.rest


def loci(sketch: Sequence[Piece]) -> Iterator[str]:
    """Yield the loci whose colours a sketch's boxes and strips have."""
    for piece in sketch:
        for inner in sketches_in(piece):
            yield from loci(inner)
        if isinstance(piece, Recurrence):
            yield from ("other", "dense", "feedback")
            if any(function != "identity" for function in piece.loop.functions):
                yield "activation"
        unit = piece if isinstance(piece, Unit) else getattr(piece, "join", None)
        if unit is not None and unit.layers:
            if unit.text:
                yield unit.locus
            elif unit.sign:
                yield "skip"
            yield from (locus for _, locus in (*unit.before, *unit.after))


def pattern(piece: Piece, widths: bool = True) -> str:
    """Return a text that is equal for pieces drawn alike; without `widths`, also if only their widths differ."""
    if isinstance(piece, Unit):
        shown = piece.text if widths else piece.text[:1]
        return "|".join([*(name for name, _ in piece.before), *shown, piece.sign, *(name for name, _ in piece.after)])
    if isinstance(piece, Entry):
        return "<>"
    if isinstance(piece, Recurrence):
        return str(piece.loop)
    if isinstance(piece, ForkPiece):
        return (
            "(" + " & ".join(patterns(branch, widths) for branch in piece.branches) + ")" + pattern(piece.join, widths)
        )
    if isinstance(piece, GraphPiece):
        inner = ";".join(f"{patterns(sketch, widths)}<{inputs}" for sketch, inputs in piece.nodes)
        return "{" + inner + f";{piece.ends}" + "}" + pattern(piece.join, widths)
    return "[" + patterns(piece.sketch, widths) + "]" + (f"x{piece.times}" if isinstance(piece, Repeat) else "")


def patterns(sketch: Sequence[Piece], widths: bool = True) -> str:
    """Return the patterns of a sketch's pieces in sequence."""
    return " ".join(pattern(piece, widths) for piece in sketch)


def sizes(sketch: Sequence[Piece]) -> Iterator[Shape]:
    """Yield the rows and columns of the outputs of all units in a sketch."""
    for piece in sketch:
        for inner in sketches_in(piece):
            yield from sizes(inner)
        if isinstance(piece, Unit):
            yield piece.shape[:-1]
        elif isinstance(piece, ForkPiece | GraphPiece):
            yield piece.join.shape[:-1]


def shape_after(piece: Piece) -> Shape:
    """Return the shape of a piece's output; () where branches do not meet."""
    if isinstance(piece, ForkPiece | GraphPiece):
        return piece.join.shape
    return shape_after(piece.sketch[-1]) if isinstance(piece, Frame) else piece.shape


def count_boxes(sketch: Sequence[Piece]) -> int:
    """Return how many boxes a sketch draws."""
    count = 0
    for piece in sketch:
        if isinstance(piece, Recurrence):
            count += len(piece.loop.widths)
        count += isinstance(piece, Unit | ForkPiece | GraphPiece)
        count += sum(map(count_boxes, sketches_in(piece)))
    return count


def fold_repeats(sketch: Sketch, opened: Callable[[Piece], bool] = lambda piece: False) -> Sketch:
    """Return the sketch with repeats drawn once, inner ones first: of at least two boxes, or four equal pieces.

    Equal pieces on maps of other sizes are no repeats, as sizes are written once. Pieces that are `opened` stay as they
    are and are part of no repeat.
    """
    inner = tuple(piece if opened(piece) else _inside(piece) for piece in sketch)
    result: list[Piece] = []
    signs = [f"{at}" if opened(piece) else (pattern(piece), *sizes([piece])) for at, piece in enumerate(inner)]
    for run in runs(signs):
        once = inner[run.start : run.start + run.length]
        again = inner[run.start + run.length : run.start + run.length * run.times]
        if run.times > 1 and (count_boxes(once) > 1 or run.times > 3):
            only, last = once[0], (once + again)[-1]
            if len(once) == 1 and isinstance(only, Frame) and isinstance(last, Frame):
                name = f"{only.name} – {last.name}"
                result.append(Repeat(only.sketch, run.times, tuple(numbers(again)), name, shape_after(last)))
            else:
                result.append(Repeat(once, run.times, tuple(numbers(again)), shape=shape_after(last)))
        else:
            result += [*once, *again]
    return tuple(result)


def _inside(piece: Piece) -> Piece:
    if isinstance(piece, ForkPiece):
        return replace(piece, branches=tuple(fold_repeats(branch) for branch in piece.branches))
    if isinstance(piece, GraphPiece):
        return replace(piece, nodes=tuple((fold_repeats(inner), inputs) for inner, inputs in piece.nodes))
    if isinstance(piece, Frame):
        return replace(piece, sketch=fold_repeats(piece.sketch))
    return piece
