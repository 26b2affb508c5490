"""Divide a net into stages: runs of layers that its author named together, each with its wiring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from convatlas.anatomy.measure.records import Layer, Measurement, Shape
from convatlas.anatomy.structure.condense import Keep, condensed, keep_none
from convatlas.anatomy.structure.wiring import Chain, Wires, decompose

SOURCE = -1
"""Source of a stage that several layers of other stages feed: it feeds a port for each of them."""

IDLE = ("identity", "stochastic depth", "StochasticDepth", "DropPath", "contiguous", "clone", "detach")
"""Kinds that do nothing once a net is trained; they are skipped."""

BORDER, JOIN = "padding", "concatenation"

WRAPPER = 0.4
"""A module with more than this share of all layers and three sizes of map or more is no stage: its children are."""

FEW = 8
"""Up to this number, single layers in a row form one stage, whatever they are."""


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: Name of the module, or of the first and last of several single layers.
        layers: Layers in the order of execution, without those that do nothing.
        sources: Numbers of the layers of other stages that feed it, 0 for the photo.
        chain: The stage's parts. If it has several sources, a port in the chain stands for each: see `port`.
        outputs: Numbers of its layers that other stages read, or that no layer reads.
    """

    name: str
    layers: tuple[Layer, ...]
    sources: tuple[int, ...]
    chain: Chain
    outputs: tuple[int, ...]

    @property
    def end(self) -> int:
        """Last layer of the stage's chain; -1 if several layers end it."""
        last = self.chain[-1]
        return last if isinstance(last, int) else -1


def port(number: int) -> int:
    """Return the number that stands in a chain for layer `number` of another stage, or the layer of such a number."""
    return -2 - number


def wires_of(anatomy: Measurement, keep: Keep = keep_none) -> dict[int, tuple[int, ...]]:
    """Return, for each layer of the condensed net, the numbers of the layers that feed it (0: the photo).

    Layers that only training needs are skipped, and borders that only one window reads, which belong to that window;
    those that `keep` holds for stay. A concatenation that starts with the parts of another one reads that one instead.
    """
    net = condensed(anatomy, keep)
    borders = folded_borders(net)
    shapes = {0: net.input} | {layer.number: layer.output for layer in net.layers}
    made_by = {0: 0}
    joins: dict[tuple[int, ...], int] = {}
    wires: dict[int, tuple[int, ...]] = {}
    for layer in net.layers:
        before = tuple(dict.fromkeys(made_by[number] for number in layer.inputs))
        idle = layer.number in borders or layer.kind in (*IDLE, JOIN) or _idle(layer, shapes[layer.inputs[0]])
        # Layers with weights do something: for example the class token concatenated with the only traced input.
        if not keep(layer) and len(before) == 1 and idle and not layer.parameters:
            made_by[layer.number] = before[0]
            continue
        made_by[layer.number] = layer.number
        wires[layer.number] = before
        if layer.kind == JOIN and not keep(layer):
            joins[before] = layer.number
            known = next((part for end in range(len(before) - 1, 1, -1) if (part := before[:end]) in joins), ())
            wires[layer.number] = (joins[known], *before[len(known) :]) if known else before
    return wires


def _idle(layer: Layer, before: Shape) -> bool:
    """Return whether a layer does nothing: a border of no pixels, dropout at a rate of 0, pooling to the same size."""
    if layer.kind == "dropout":
        return layer.setting == "0"
    same = layer.kind == BORDER and layer.padding == (0, 0)
    return layer.output == before and (same or layer.kind.startswith("adaptive "))


def folded_borders(anatomy: Measurement) -> set[int]:
    """Return the numbers of borders that only one window reads."""
    readers = Counter(number for layer in anatomy.layers for number in layer.inputs)
    windows = {layer.inputs[0] for layer in anatomy.layers if layer.kernel is not None}
    return {layer.number for layer in anatomy.layers if layer.kind == BORDER and readers[layer.number] == 1} & windows


def stages(anatomy: Measurement, keep: Keep = keep_none) -> list[Stage]:
    """Return the stages in the order of execution; `keep` as in `wires_of`."""
    net, wires, layers = _wired(anatomy, keep)
    groups = _with_unnamed(list(_groups(layers, len(layers), 0)))
    if len(groups) == 1 and not any(layer.name for layer in layers):
        groups = [(net.name, layers)]
    return [_stage(name, run, wires) for name, run in groups]


def one_stage(anatomy: Measurement) -> Stage:
    """Return the whole net as one stage."""
    net, wires, layers = _wired(anatomy, keep_none)
    return _stage(net.name, layers, wires)


def _wired(anatomy: Measurement, keep: Keep) -> tuple[Measurement, Wires, list[Layer]]:
    """Return the condensed net, its wires, and the layers that these join."""
    net = condensed(anatomy, keep)
    wires = wires_of(net, keep)
    return net, wires, [layer for layer in net.layers if layer.number in wires]


def _with_unnamed(groups: Sequence[tuple[str, list[Layer]]]) -> list[tuple[str, list[Layer]]]:
    """Join functions that the net itself calls with the group of the module after them."""
    result: list[tuple[str, list[Layer]]] = []
    waiting: list[Layer] = []
    for at, (name, run) in enumerate(groups):
        if not any(layer.name or layer.parameters for layer in run) and at + 1 < len(groups):
            waiting += run
        else:
            result.append((name, [*waiting, *run]))
            waiting = []
    return result


def _stage(name: str, run: Sequence[Layer], wires: Wires) -> Stage:
    """Return the stage of a run of layers, from the wires of the whole net."""
    inside = {layer.number for layer in run}
    numbers = [layer.number for layer in run]
    sources = tuple(dict.fromkeys(source for number in numbers for source in wires[number] if source not in inside))
    readers = {source for number in numbers for source in wires[number]}
    elsewhere = {source for number, before in wires.items() if number not in inside for source in before}
    own: dict[int, Sequence[int]] = {number: wires[number] for number in numbers}
    if len(sources) > 1:
        own = {
            number: [source if source in inside else port(source) for source in before]
            for number, before in own.items()
        }
        own |= {port(source): [SOURCE] for source in sources}
        numbers = [*(port(source) for source in sources), *numbers]
    sink = max(inside) + 1
    own[sink] = [number for number in numbers if number in inside and number not in readers]
    outputs = tuple(number for number in numbers if number in inside and number not in readers - elsewhere)
    return Stage(
        name, tuple(run), sources, decompose(numbers, own, SOURCE if len(sources) > 1 else sources[0], sink), outputs
    )


def _groups(layers: Sequence[Layer], total: int, depth: int) -> Iterator[tuple[str, list[Layer]]]:
    """Yield groups of layers by the part of their names at `depth`; neighbouring single layers are one group."""
    alone: list[Layer] = []
    for name, members in groupby(layers, key=lambda layer: _part(layer, depth)):
        run = list(members)
        if all(_part(layer, depth + 1) == "" for layer in run):
            alone += run
            continue
        yield from _split_single(alone, depth)
        alone = []
        if len(run) > WRAPPER * total and _sizes(run) > 2 and len({_part(layer, depth + 1) for layer in run}) > 1:
            yield from ((f"{name}.{inner}", part) for inner, part in _groups(run, total, depth + 1))
        else:
            yield name, run
    yield from _split_single(alone, depth)


def _part(layer: Layer, depth: int) -> str:
    parts = layer.name.split(".")
    return parts[depth] if depth < len(parts) else ""


def _sizes(layers: Sequence[Layer]) -> int:
    """Return how many sizes of map occur, those of a single position not counted."""
    return len({layer.output[1:] for layer in layers if len(layer.output) == 3 and layer.output[1:] != (1, 1)})


def _split_single(layers: Sequence[Layer], depth: int) -> Iterator[tuple[str, list[Layer]]]:
    """Divide many single layers: a group ends after its poolings, and the vectors at the end are one."""
    run: list[Layer] = []
    for layer in layers:
        loci = {member.locus for member in run}
        pooled = layer.locus == "convolution" and "pooling" in loci
        ends = layer.locus in ("flattening", "dense") and "convolution" in loci
        if len(layers) > FEW and (pooled or ends):
            yield _span_name(run, depth), run
            run = []
        run.append(layer)
    if run:
        yield _span_name(run, depth), run


def _span_name(layers: Sequence[Layer], depth: int) -> str:
    names = [part for layer in layers if (part := _part(layer, depth))] or [layers[0].kind]
    return names[0] if names[0] == names[-1] else f"{names[0]}-{names[-1]}"
