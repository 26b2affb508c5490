"""Plan the cards: one for each stage, with its name, its totals and its blocks on as many lines as they take."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from functools import partial

from convatlas.anatomy.drawing.labels import amount, shape_text
from convatlas.anatomy.drawing.layout.chains import ChainLayout
from convatlas.anatomy.drawing.layout.elements import Element
from convatlas.anatomy.drawing.layout.layout import Layout, add_frames
from convatlas.anatomy.drawing.layout.rows import rows
from convatlas.anatomy.drawing.sketch.pieces import (
    Entry,
    ForkPiece,
    Frame,
    Piece,
    Sketch,
    Unit,
    count_boxes,
    fold_repeats,
    numbers,
    patterns,
    sizes,
)
from convatlas.anatomy.drawing.sketch.sketcher import Sketcher
from convatlas.anatomy.measure.records import Shape
from convatlas.anatomy.structure.stages import Stage
from convatlas.anatomy.structure.tokens import Words

WIDEST, SPARE = 1180.0, 1.1
"""Width of a line of blocks before it wraps, and the factor by which a whole stage may exceed it."""

MANY = 14
"""Boxes beyond which a stage that differs only in its widths is not drawn again."""


@dataclass
class Plan:
    """The content of a card.

    Attributes:
        stages: The stages it shows; several if they are small, single modules, or equal.
        sketch: What is drawn of them.
        times: How many equal stages it stands for.
        kind: The kind of its stages if the next one of that kind may stand beside them: see `_kind`.
    """

    stages: list[Stage]
    sketch: Sketch
    times: int = 1
    kind: str = ""

    @property
    def name(self) -> str:
        """Name of its stage, or of the first and the last."""
        first, last = self.stages[0].name, self.stages[-1].name
        return first.replace("-", " – ") if first == last else f"{first.partition('-')[0]} – {last.rpartition('-')[2]}"

    @property
    def title(self) -> str:
        """Name, and how many equal stages it stands for."""
        return self.name + (f"   ×{self.times}" if self.times > 1 else "")

    def totals(self, words: Words) -> str:
        """Return output, parameters and multiply-accumulates of all its stages."""
        layers = [layer for stage in self.stages for layer in stage.layers]
        last = self.stages[-1]
        parts = [
            shape_text(words.shown[last.outputs[-1]]),
            amount(sum(layer.parameters for layer in layers), "parameters"),
        ]
        macs = sum(layer.macs for layer in layers)
        return " · ".join(part for part in [*parts, *([amount(macs, "MACs")] if macs else [])] if part)


def plan_cards(
    net_stages: Sequence[Stage], words: Words, sketchers: Sequence[Sketcher], opened: Container[int] = ()
) -> list[Plan]:
    """Return the cards of a net's stages; `opened` are the indices of those that are drawn with all their layers."""
    result: list[Plan] = []
    drawn: dict[str, str] = {}
    for at, stage in enumerate(net_stages):
        sketch = sketchers[at].sketch(stage.chain)
        if len(stage.sources) == 1 and stage.sources[0] != (net_stages[at - 1].end if at else 0):
            sketch = (Entry(stage.sources[0], words.shown[stage.sources[0]]), *sketch)
        if at in opened:
            opened_here = partial(_is_open, words, sketchers[at])
            result.append(Plan([stage], fold_repeats(add_frames(sketch, words, stage.name), opened_here)))
            continue
        last = result[-1] if result and at - 1 not in opened else None
        follows = at > 0 and stage.sources == net_stages[at - 1].outputs == (net_stages[at - 1].end,)
        kind = _kind(sketch)
        if (
            last
            and follows
            and kind == last.kind != ""
            and (kind == SMALL or _same_size(last.stages[-1], stage, words))
        ):
            result[-1] = Plan([*last.stages, stage], last.sketch + sketch, kind=kind)
        elif last and _equal(last.sketch, sketch) and _alike(last.stages[-1], stage, net_stages):
            result[-1] = replace(last, stages=[*last.stages, stage], times=last.times + 1, kind="")
        else:
            result.append(Plan([stage], sketch, kind=kind))
    for at, plan in enumerate(result):
        if net_stages.index(plan.stages[0]) in opened:
            continue
        shown = plan.stages[0]
        single = len(plan.stages) == plan.times
        sketch = fold_repeats(add_frames(plan.sketch, words, shown.name) if single else _sketch_of_several(plan))
        look = patterns(sketch, widths=False)
        if single and count_boxes(sketch) > MANY and look in drawn:
            sketch = _again(drawn[look], plan, words)
        else:
            drawn.setdefault(look, plan.stages[0].name)
        result[at] = replace(plan, sketch=sketch)
    return result


def _equal(first: Sketch, second: Sketch) -> bool:
    """Return whether two stages are drawn alike, on maps of the same sizes, which are written once."""
    return patterns(first) == patterns(second) and list(sizes(first)) == list(sizes(second))


def _is_open(words: Words, sketcher: Sketcher, piece: Piece) -> bool:
    return any(sketcher.fine(words.layers[number]) for number in numbers([piece]) if number > 0)


SMALL, MODULE = "small", "module"
"""Kinds of stages that may share a card: chains of one or two boxes; single forks on maps of one size."""


def _kind(sketch: Sketch) -> str:
    if len(sketch) <= 2 and all(isinstance(piece, Unit) and not piece.sign for piece in sketch):
        return SMALL
    (first, *others) = sketch
    return MODULE if not others and isinstance(first, ForkPiece) and first.join.layers else ""


def _same_size(first: Stage, second: Stage, words: Words) -> bool:
    """Return whether two modules output maps of one size."""
    return words.shapes[first.end][1:] == words.shapes[second.end][1:]


def _alike(first: Stage, second: Stage, net_stages: Sequence[Stage]) -> bool:
    """Return whether two successive stages read stages equally far before them."""
    places = {number: at for at, stage in enumerate(net_stages) for number in stage.outputs}
    distances = [
        [net_stages.index(stage) - places.get(number, -1) for number in stage.sources] for stage in (first, second)
    ]
    return distances[0] == distances[1]


def _sketch_of_several(plan: Plan) -> Sketch:
    """Return the sketch of several stages: each module, and each of many small stages, in a frame."""
    if plan.kind == MODULE:
        return tuple(Frame(stage.name, (piece,)) for stage, piece in zip(plan.stages, plan.sketch, strict=True))
    if sum(len(stage.chain) > 1 for stage in plan.stages) < FRAMED_FROM:
        return plan.sketch
    pieces = list(plan.sketch)
    result: list[Piece] = []
    for stage in plan.stages:
        inside = {layer.number for layer in stage.layers}
        own = [pieces.pop(0) for _ in range(sum(inside >= set(numbers([piece])) for piece in pieces))]
        result += [Frame(stage.name, tuple(own))] if len(own) > 1 else own
    return tuple(result)


FRAMED_FROM = 4
"""Number of stages of several layers from which on each gets a frame."""


def _again(name: str, plan: Plan, words: Words) -> Sketch:
    """Return one box that stands for blocks drawn before with other widths."""
    return (reference_box(plan.sketch, name, words.shown[plan.stages[-1].outputs[-1]]),)


def reference_box(sketch: Sketch, name: str, shape: Shape) -> Unit:
    """Return the box that stands for a sketch that outputs `shape` and looks like the one drawn as `name`."""
    return Unit(tuple(numbers(sketch)), (f"as {name}", shape_text(shape)), "other", shape=shape)


def break_lines(plan: Plan, layout: Layout, before: Shape, room: float = WIDEST) -> list[ChainLayout]:
    """Return the plan's sketch on lines of at most `room`."""
    elements: list[Element] = []
    shape = before
    for piece in plan.sketch:
        elements.append(layout.element(piece, shape, room))
        shape = elements[-1].shape or shape
    labelled = len(plan.stages[0].sources) == 1 and not isinstance(plan.sketch[0], Entry)
    whole = ChainLayout(elements, before, labelled=labelled)
    return [whole] if whole.width <= SPARE * room else rows(elements, before, room, labelled)
