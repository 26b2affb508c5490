"""What sketches are made of: units, forks, webs and repeats, not yet placed anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from convatlas.anatomy.measure.hyperparameters import Loop
from convatlas.anatomy.measure.records import Shape
from convatlas.anatomy.structure.repeats import runs

Strip = tuple[str, str]
"""A short name and a locus."""


@dataclass(frozen=True)
class Unit:
    """One box.

    Attributes:
        layers: Numbers of the layers in it.
        text: Its lines; none if it holds only what stands with another layer.
        locus: What it expresses.
        before: What stands in front of it: the normalization and activation of a pre-activated block.
        after: What stands behind it.
        sign: `+`, `×` or `concat` where ways meet; "" elsewhere.
        shape: Of what it gives.
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
    """What another stage gave, by the number of the layer."""

    number: int
    shape: Shape = ()


@dataclass(frozen=True)
class Recurrent:
    """A recurrence, which is one layer of a net: dense ones in a row with arrows back."""

    layers: tuple[int, ...]
    loop: Loop
    shape: Shape


@dataclass(frozen=True)
class Ways:
    """A fork's ways, and the unit where they meet."""

    ways: tuple[Sketch, ...]
    join: Unit


@dataclass(frozen=True)
class Tangle:
    """A web: for each node its sketch and the places of those that feed it; and the unit that reads its ends."""

    nodes: tuple[tuple[Sketch, tuple[int, ...]], ...]
    ends: tuple[int, ...]
    join: Unit


@dataclass(frozen=True)
class Repeat:
    """A sketch that comes again: drawn once, with `times`; `rest` are the layers of the other times."""

    sketch: Sketch
    times: int
    rest: tuple[int, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Frame:
    """A part of a stage that its author gave a name."""

    name: str
    sketch: Sketch


Piece = Unit | Entry | Recurrent | Ways | Tangle | Repeat | Frame
Sketch = tuple[Piece, ...]


def numbers(sketch: Sequence[Piece]) -> Iterator[int]:
    """The numbers of all layers in a sketch, those of all times of a repeat among them."""
    for piece in sketch:
        if isinstance(piece, Unit | Recurrent):
            yield from piece.layers
        elif isinstance(piece, Ways):
            for way in piece.ways:
                yield from numbers(way)
            yield from piece.join.layers
        elif isinstance(piece, Tangle):
            for inner, _ in piece.nodes:
                yield from numbers(inner)
            yield from piece.join.layers
        elif isinstance(piece, Repeat):
            yield from numbers(piece.sketch)
            yield from piece.rest
        elif isinstance(piece, Frame):
            yield from numbers(piece.sketch)


def pattern(piece: Piece, widths: bool = True) -> str:
    """What a piece looks like: equal for pieces that are drawn alike, or alike but for their `widths`."""
    if isinstance(piece, Unit):
        shown = piece.text if widths else piece.text[:1]
        return "|".join([*(name for name, _ in piece.before), *shown, piece.sign, *(name for name, _ in piece.after)])
    if isinstance(piece, Entry):
        return "<>"
    if isinstance(piece, Recurrent):
        return str(piece.loop)
    if isinstance(piece, Ways):
        return "(" + " & ".join(patterns(way, widths) for way in piece.ways) + ")" + pattern(piece.join, widths)
    if isinstance(piece, Tangle):
        inner = ";".join(f"{patterns(sketch, widths)}<{inputs}" for sketch, inputs in piece.nodes)
        return "{" + inner + f";{piece.ends}" + "}" + pattern(piece.join, widths)
    return "[" + patterns(piece.sketch, widths) + "]" + (f"x{piece.times}" if isinstance(piece, Repeat) else "")


def patterns(sketch: Sequence[Piece], widths: bool = True) -> str:
    """The patterns of a sketch's pieces, one after the other."""
    return " ".join(pattern(piece, widths) for piece in sketch)


def boxes(sketch: Sequence[Piece]) -> int:
    """How many boxes a sketch draws."""
    count = 0
    for piece in sketch:
        if isinstance(piece, Unit):
            count += 1
        elif isinstance(piece, Recurrent):
            count += len(piece.loop.widths)
        elif isinstance(piece, Ways):
            count += 1 + sum(boxes(way) for way in piece.ways)
        elif isinstance(piece, Tangle):
            count += 1 + sum(boxes(inner) for inner, _ in piece.nodes)
        elif isinstance(piece, Repeat | Frame):
            count += boxes(piece.sketch)
    return count


def folded(sketch: Sketch, opened: Callable[[Piece], bool] = lambda piece: False) -> Sketch:
    """The sketch with what repeats drawn once: at least two boxes, or four equal ones; inside its parts first.

    Pieces that are `opened` stay as they are, and by themselves.
    """
    inner = tuple(piece if opened(piece) else _inside(piece) for piece in sketch)
    found: list[Piece] = []
    for run in runs([f"{at}" if opened(piece) else pattern(piece) for at, piece in enumerate(inner)]):
        once = inner[run.start : run.start + run.length]
        again = inner[run.start + run.length : run.start + run.length * run.times]
        if run.times > 1 and (boxes(once) > 1 or run.times > 3):
            only, last = once[0], (once + again)[-1]
            if len(once) == 1 and isinstance(only, Frame) and isinstance(last, Frame):
                name = f"{only.name} – {last.name}"
                found.append(Repeat(only.sketch, run.times, tuple(numbers(again)), name))
            else:
                found.append(Repeat(once, run.times, tuple(numbers(again))))
        else:
            found += [*once, *again]
    return tuple(found)


def _inside(piece: Piece) -> Piece:
    if isinstance(piece, Ways):
        return replace(piece, ways=tuple(folded(way) for way in piece.ways))
    if isinstance(piece, Tangle):
        return replace(piece, nodes=tuple((folded(inner), inputs) for inner, inputs in piece.nodes))
    if isinstance(piece, Frame):
        return replace(piece, sketch=folded(piece.sketch))
    return piece
