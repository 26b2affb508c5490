"""The stages of a net: runs of layers that its author named together, each with the shape of its wiring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from convatlas.anatomy.measure.records import Layer, Measurement, Shape
from convatlas.anatomy.structure.wiring import Row, Wires, row

SOURCE = -1
"""What stands for the input of a stage that several layers feed: each of them is a port of it."""

UNSEEN = ("identity", "stochastic depth", "StochasticDepth", "DropPath", "contiguous", "clone", "detach")
"""Kinds that change nothing once a net is trained: they are passed over."""

BORDER, JOIN = "padding", "concatenation"

WRAPPER = 0.4
"""A module that holds this share of all layers, over three sizes of map or more, is no stage: its children are."""

FEW = 8
"""So many layers by themselves are one stage, whatever they are."""


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: Of the module, or of the first and last of several layers that stand by themselves.
        layers: In the order of execution, those that do nothing left out.
        sources: Numbers of the layers of other stages that feed it, 0 for the photo.
        row: Its parts. Several sources stand in it as ports.
        outputs: Numbers of its layers that other stages read, or the answer.
    """

    name: str
    layers: tuple[Layer, ...]
    sources: tuple[int, ...]
    row: Row
    outputs: tuple[int, ...]

    @property
    def end(self) -> int:
        """The layer with which its row ends; -1 if that ends with several."""
        last = self.row[-1]
        return last if isinstance(last, int) else -1


def port(number: int) -> int:
    """The number under which the layer `number` of another stage stands in a row; it is its own inverse."""
    return -2 - number


def wires_of(anatomy: Measurement, everything: bool = False) -> dict[int, tuple[int, ...]]:
    """For each layer that does something, the layers (0: the photo) that feed it.

    Neither does a layer that only training needs, nor a border that one window alone looks at: it is that window's.
    With `everything` they are there too. What is joined to maps that were joined before is joined to their join.
    """
    borders = folded(anatomy)
    shapes = {0: anatomy.input} | {layer.number: layer.output for layer in anatomy.layers}
    made_by = {0: 0}
    joins: dict[tuple[int, ...], int] = {}
    wires: dict[int, tuple[int, ...]] = {}
    for layer in anatomy.layers:
        before = tuple(dict.fromkeys(made_by[number] for number in layer.inputs))
        nothing = layer.number in borders or layer.kind in (*UNSEEN, JOIN) or _idle(layer, shapes[layer.inputs[0]])
        # What has weights does something: a class token, say, which is joined to what alone was traced.
        if not everything and len(before) == 1 and nothing and not layer.parameters:
            made_by[layer.number] = before[0]
            continue
        made_by[layer.number] = layer.number
        wires[layer.number] = before
        if layer.kind == JOIN and not everything:
            joins[before] = layer.number
            known = next((part for end in range(len(before) - 1, 1, -1) if (part := before[:end]) in joins), ())
            wires[layer.number] = (joins[known], *before[len(known) :]) if known else before
    return wires


def _idle(layer: Layer, before: Shape) -> bool:
    """Whether a layer is there, but set to nothing: a border of no pixels, dropout at a rate of 0."""
    return (layer.kind == BORDER and layer.output == before and layer.padding == (0, 0)) or (
        layer.kind == "dropout" and layer.setting == "0"
    )


def folded(anatomy: Measurement) -> set[int]:
    """The borders that one window alone looks at."""
    readers = Counter(number for layer in anatomy.layers for number in layer.inputs)
    windows = {layer.inputs[0] for layer in anatomy.layers if layer.kernel is not None}
    return {one.number for one in anatomy.layers if one.kind == BORDER and readers[one.number] == 1} & windows


def stages(anatomy: Measurement, everything: bool = False) -> list[Stage]:
    """The stages in the order of execution; `everything` as in `wires_of`."""
    wires = wires_of(anatomy, everything)
    layers = [layer for layer in anatomy.layers if layer.number in wires]
    groups = list(_groups(layers, len(layers), 0))
    read = {number for before in wires.values() for number in before}
    return [_stage(name, run, wires, read) for name, run in groups]


def _stage(name: str, run: Sequence[Layer], wires: Wires, read: set[int]) -> Stage:
    inside = {layer.number for layer in run}
    numbers = [layer.number for layer in run]
    sources = tuple(dict.fromkeys(one for number in numbers for one in wires[number] if one not in inside))
    readers = {one for number in numbers for one in wires[number]}
    elsewhere = {one for number, before in wires.items() if number not in inside for one in before}
    own: dict[int, Sequence[int]] = {number: wires[number] for number in numbers}
    if len(sources) > 1:
        own = {number: [one if one in inside else port(one) for one in before] for number, before in own.items()}
        own |= {port(one): [SOURCE] for one in sources}
        numbers = [*(port(one) for one in sources), *numbers]
    sink = max(inside) + 1
    own[sink] = [number for number in numbers if number in inside and number not in readers]
    outputs = tuple(number for number in numbers if number in elsewhere or (number in inside and number not in read))
    return Stage(
        name, tuple(run), sources, row(numbers, own, SOURCE if len(sources) > 1 else sources[0], sink), outputs
    )


def _groups(layers: Sequence[Layer], total: int, depth: int) -> Iterator[tuple[str, list[Layer]]]:
    """Runs of layers by the part of their names at `depth`; layers that stand by themselves join their neighbours."""
    alone: list[Layer] = []
    for name, found in groupby(layers, key=lambda layer: _part(layer, depth)):
        run = list(found)
        if all(_part(layer, depth + 1) == "" for layer in run):
            alone += run
            continue
        yield from _apart(alone, depth)
        alone = []
        if len(run) > WRAPPER * total and _sizes(run) > 2 and len({_part(layer, depth + 1) for layer in run}) > 1:
            yield from ((f"{name}.{inner}", part) for inner, part in _groups(run, total, depth + 1))
        else:
            yield name, run
    yield from _apart(alone, depth)


def _part(layer: Layer, depth: int) -> str:
    parts = layer.name.split(".")
    return parts[depth] if depth < len(parts) else ""


def _sizes(layers: Sequence[Layer]) -> int:
    """How many sizes of map occur, those of single positions aside."""
    return len({layer.output[1:] for layer in layers if len(layer.output) == 3 and layer.output[1:] != (1, 1)})


def _apart(layers: Sequence[Layer], depth: int) -> Iterator[tuple[str, list[Layer]]]:
    """Layers that stand by themselves: those up to a pooling, and the vectors at the end, if there are many."""
    run: list[Layer] = []
    for layer in layers:
        loci = {one.locus for one in run}
        pooled = layer.locus == "convolution" and "pooling" in loci
        ends = layer.locus in ("flattening", "dense") and "convolution" in loci
        if len(layers) > FEW and (pooled or ends):
            yield _named(run, depth), run
            run = []
        run.append(layer)
    if run:
        yield _named(run, depth), run


def _named(layers: Sequence[Layer], depth: int) -> str:
    names = [part for layer in layers if (part := _part(layer, depth))] or [layers[0].kind]
    return names[0] if names[0] == names[-1] else f"{names[0]}-{names[-1]}"
