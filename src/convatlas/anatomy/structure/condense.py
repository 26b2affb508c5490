"""Condense a measured net to what a reader wants to see of it: attention is one layer, views are left out.

A module written with functions (an attention, a shuffle of channels, the decoding of boxes) is a dozen operations or
more, most of which only give a tensor another shape. Pictures and words show it as one layer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, takewhile
from math import prod
from typing import Any

from convatlas.anatomy.measure.operation_kinds import REARRANGING, TRANSPOSING
from convatlas.anatomy.measure.records import Layer, Measurement, Shape
from convatlas.anatomy.structure.layouts import RESHAPING, channel_sides

PRODUCTS = ("matmul", "rmatmul", "bmm", "mm", "baddbmm", "einsum")
"""Kinds of layers that multiply two tensors computed from the photo, as attention does."""

ATTENTION = "attention"
"""Kind and locus of attention."""

MOST_PRODUCTS = 8
"""Products in an attention; a module with more holds other layers too."""

UNCHANGING = ("contiguous", "clone", "detach", "to", "type", "float", "half", "bfloat16", "type_as", "alias")
"""Kinds of layers that change neither shape nor values."""

VIEWS = (
    *TRANSPOSING, *RESHAPING, *REARRANGING[:1], *UNCHANGING, "expand", "expand_as", "mT", "T", "broadcast_to",
)  # fmt: skip
"""Kinds of layers that give a tensor at most another shape."""

SELECTING = ("getitem", "chunk", "split", "unbind", "tensor_split", "select", "narrow")
"""Kinds of layers whose output is a part of their input, or all of it in another shape."""

SIMPLE = ("skip", "flattening", "activation", "other")
"""Loci of the operations that a calculation may hold."""

FEWEST, STRANGE = 8, 3
"""Least number of operations that become one calculation, and of those among them that are of no known kind."""

Keep = Callable[[Layer], bool]
"""Whether a layer stays as it is."""


def keep_none(layer: Layer) -> bool:
    """Keep no layer as it is: the default."""
    return False


@dataclass(frozen=True)
class Condensed(Measurement):
    """A condensed net; its totals are those of the whole one.

    Attributes:
        sides: Which side of the output of each layer (0: the photo) counts channels; None if none does.
    """

    sides: Mapping[int, int | None] = field(default_factory=dict)


def condensed(anatomy: Measurement, keep: Keep = keep_none) -> Condensed:
    """Return a net with fewer layers, each with the number of the last of those it stands for; `keep` names exceptions.

    A net that is condensed already is returned as it is.
    """
    if isinstance(anatomy, Condensed):
        return anatomy
    layers = _without(anatomy.layers, anatomy.input, keep, _is_unchanging)
    for find in (_attentions, _shuffles, _patches_to_depth, _slices_to_depth):
        layers = _merged(layers, find(layers), keep)
    sides = channel_sides(anatomy.input, layers)
    layers = _restored(layers, sides)
    layers = _without(layers, anatomy.input, keep, _is_view)
    layers = _merged(layers, _calculations(layers), keep)
    values: dict[str, Any] = vars(anatomy) | {"layers": tuple(layers)}
    return Condensed(**values, sides=sides)


def _restored(layers: Sequence[Layer], sides: dict[int, int | None]) -> list[Layer]:
    """Give layers whose output is a map in another shape (windows, another batch) the shape of that map.

    Such are those whose views bring the shape of an earlier map back. Their entries in `sides` are changed too.
    """
    readers = Counter(number for layer in layers for number in layer.inputs)
    # The output of a window is a map as it is.
    shapes = {layer.number: layer.output for layer in layers if layer.kernel is None}
    maps: dict[Shape, int | None] = {}
    known: dict[Shape, int | None] = {}
    roots: dict[int, int] = {}
    changed: dict[int, Shape] = {}
    for layer in layers:
        source = layer.inputs[0]
        if layer.kind in VIEWS and readers[source] == 1:
            root = roots[layer.number] = roots.get(source, source)
            before = shapes.get(root, layer.output)
            # The side of another batch is lost in the shape.
            sides_of = known if prod(layer.output) > prod(before) else maps
            if layer.output in sides_of and layer.output != before:
                changed[root], sides[root] = layer.output, sides_of[layer.output]
        elif layer.kind not in VIEWS:
            known.setdefault(layer.output, sides[layer.number])
            if layer.kernel is not None or layer.kind in ("sum", "product"):
                maps.setdefault(layer.output, sides[layer.number])
    return [replace(layer, output=changed.get(layer.number, layer.output)) for layer in layers]


@dataclass(frozen=True)
class _Run:
    """Layers in a row, from index `start` up to `end`, that become one with the `changes`."""

    start: int
    end: int
    changes: Mapping[str, Any]


def _merged(layers: Sequence[Layer], merged_runs: Iterator[_Run], keep: Keep) -> list[Layer]:
    """Return the layers with each run as one; a run in the order of execution leaves no cycle."""
    made_by = {0: 0} | {layer.number: layer.number for layer in layers}
    begins = {run.start: run for run in merged_runs if not any(keep(layer) for layer in layers[run.start : run.end])}
    result: list[Layer] = []
    at = 0
    while at < len(layers):
        run = begins.get(at, _Run(at, at + 1, {}))
        members = layers[run.start : run.end]
        inside = {layer.number for layer in members}
        outside = [number for layer in members for number in layer.inputs if number not in inside]
        last = members[-1]
        made_by |= dict.fromkeys(inside, last.number)
        sums = {name: sum(getattr(layer, name) for layer in members) for name in SUMS} if len(members) > 1 else {}
        inputs = tuple(dict.fromkeys(made_by[number] for number in outside))
        result.append(replace(last, **{"inputs": inputs} | sums | dict(run.changes)))
        at = run.end
    return result


SUMS = ("parameters", "trainable", "macs", "connections", "units", "memory")
"""Figures of a layer that add up."""

PLAIN = {"kernel": None, "stride": None, "padding": None, "dilation": None, "groups": None}
"""Attributes of a layer without a window."""


def _attentions(layers: Sequence[Layer]) -> Iterator[_Run]:
    """Find the modules that multiply tensors computed from the photo with each other."""
    products = [layer for layer in layers if _is_product(layer)]
    owners = {layer.name for layer in products} - {""}
    outer = {name for name in owners if not any(name.startswith(f"{other}.") for other in owners)}
    for name, start, end in _modules(layers, outer):
        start, end = _shifted(layers, start, start + _residual(layers[start:end]))
        run = layers[start:end]
        if 0 < sum(_is_product(layer) for layer in run) <= MOST_PRODUCTS:
            changes = {"kind": ATTENTION, "locus": ATTENTION, "name": name, "setting": _heads(run)} | PLAIN
            yield _Run(start, end, changes)


def _residual(run: Sequence[Layer]) -> int:
    """Return the index of a residual sum, which is no part of the attention before it; the length if there is none."""
    inside = {layer.number for layer in run}
    last = max((at for at, layer in enumerate(run) if _is_product(layer)), default=len(run))
    for at in range(last + 1, len(run)):
        if run[at].kind == "sum" and not inside >= set(run[at].inputs):
            return at
    return len(run)


def _shifted(layers: Sequence[Layer], start: int, end: int) -> tuple[int, int]:
    """Return where an attention begins and ends, with the shifts of its map before and after it."""
    first, last = start, end
    while first and layers[first - 1].kind in (*VIEWS, *SELECTING, "roll", "pad"):
        first -= 1
    while last < len(layers) and layers[last].kind in (*VIEWS, *SELECTING, "roll"):
        last += 1
    shifts = [any(layer.kind == "roll" for layer in run) for run in (layers[first:start], layers[end:last])]
    return (first, last) if all(shifts) else (start, end)


def _is_product(layer: Layer) -> bool:
    return (layer.kind in PRODUCTS and len(layer.inputs) > 1) or layer.kind == ATTENTION


def _modules(layers: Sequence[Layer], names: Collection[str]) -> Iterator[tuple[str, int, int]]:
    """Yield each call of a module with one of the names: its name, and the indices where its layers begin and end."""

    def owner(pair: tuple[int, Layer]) -> str:
        path = pair[1].name
        while path and path not in names:
            path = path.rpartition(".")[0]
        return path

    spans: list[tuple[str, int, int]] = []
    for name, run in groupby(enumerate(layers), owner):
        places = [at for at, _ in run]
        if not name:
            continue
        before = next((at for at in range(len(spans) - 1, -1, -1) if spans[at][0] == name), -1)
        if before >= 0 and _is_nested_call(layers, *spans[before][1:], places[0]):
            # The layers of other modules between both runs are part of the same call.
            spans[before:] = [(name, spans[before][1], places[-1] + 1)]
        else:
            spans.append((name, places[0], places[-1] + 1))
    yield from spans


def _is_nested_call(layers: Sequence[Layer], start: int, middle: int, end: int) -> bool:
    """Return whether the layers `middle` to `end` read only layers from `start` on, and later layers read them."""
    inside = {layer.number for layer in layers[start:end]}
    between = {layer.number for layer in layers[middle:end]}
    reads = {number for layer in layers[middle:end] for number in layer.inputs}
    return reads <= inside and bool(between & {number for layer in layers[end:] for number in layer.inputs})


def _heads(run: Sequence[Layer]) -> str:
    """Return the number of heads of an attention if its shapes show it: the weights have the shape (heads, N, N)."""
    for layer in run:
        if layer.kind == ATTENTION and layer.setting.isdecimal():
            return layer.setting
    weights = [layer for layer in run if layer.kind in ("softmax", ATTENTION) and len(layer.output) > 2]
    return str(weights[0].output[-3]) if weights else ""


def _transpositions(layers: Sequence[Layer]) -> Iterator[tuple[int, Shape, Sequence[Layer]]]:
    """Yield three layers in a row around each transposition: their index, the shape before them, the layers."""
    shapes = {layer.number: layer.output for layer in layers}
    for at in range(len(layers) - 2):
        first, second, third = layers[at : at + 3]
        chained = second.inputs == (first.number,) and third.inputs == (second.number,)
        if chained and second.kind in TRANSPOSING:
            yield at, shapes.get(first.inputs[0], ()), (first, second, third)


def _shuffles(layers: Sequence[Layer]) -> Iterator[_Run]:
    """Find shuffles of channels: (C, H, W) as (g, C / g, H, W), transposed, and (C, H, W) again."""
    for at, before, (first, second, third) in _transpositions(layers):
        if {first.kind, third.kind} - set(RESHAPING):
            continue
        parted = first.output
        turned = second.output == (*reversed(parted[:2]), *parted[2:]) and parted[2:] == before[1:]
        if len(before) == 3 and before == third.output and turned:
            yield _Run(at, at + 3, {"kind": "channel shuffle", "locus": "skip", "setting": ""})


def _patches_to_depth(layers: Sequence[Layer]) -> Iterator[_Run]:
    """Find positions that become channels: (H, W, C) as (H / k, k, W / k, k, C), transposed, as (H / k, W / k, kkC)."""
    for at, before, (first, _, third) in _transpositions(layers):
        parted, after = first.output, third.output
        if (len(before), len(parted), len(after)) == (3, 5, 3):
            step = parted[1]
            fewer = (before[0] // step, before[1] // step, before[2] * step * step)
            if step > 1 and parted == (fewer[0], step, fewer[1], step, before[2]) and after == fewer:
                yield _Run(at, at + 3, {"kind": "space to depth", "locus": "skip", "setting": ""})


def _slices_to_depth(layers: Sequence[Layer]) -> Iterator[_Run]:
    """Find slices that are all joined again: positions of a map that become channels."""
    shapes = {layer.number: layer.output for layer in layers}
    for end, join in enumerate(layers):
        if join.kind != "concatenation" or len(join.inputs) < 2:
            continue
        start = end
        while start and layers[start - 1].kind == "getitem":
            start -= 1
        run = layers[start:end]
        sources = {number for layer in run for number in layer.inputs} - {layer.number for layer in run}
        whole = len(sources) == 1 and prod(shapes.get(sources.pop(), ())) == prod(join.output)
        if whole and {layer.number for layer in run} >= set(join.inputs):
            yield _Run(start, end + 1, {"kind": "space to depth", "locus": "skip", "setting": ""})


def _without(
    layers: Sequence[Layer], photo: Shape, keep: Keep, idle: Callable[[Layer, Shape, str], bool]
) -> list[Layer]:
    """Return the layers that are not `idle`, which takes a layer and the shape and the locus of its input."""
    before = {0: (photo, "photo")} | {layer.number: (layer.output, layer.locus) for layer in layers}
    made_by = {0: 0}
    result: list[Layer] = []
    for layer in layers:
        if not layer.parameters and not keep(layer) and idle(layer, *before[layer.inputs[0]]):
            made_by[layer.number] = made_by[layer.inputs[0]]
            continue
        made_by[layer.number] = layer.number
        result.append(replace(layer, inputs=tuple(dict.fromkeys(made_by[number] for number in layer.inputs))))
    # A net of views alone keeps them.
    return result or list(layers)


def _is_unchanging(layer: Layer, before: Shape, locus: str) -> bool:
    return layer.kind in UNCHANGING


def _is_view(layer: Layer, before: Shape, locus: str) -> bool:
    if layer.kind in SELECTING:
        return prod(layer.output) == prod(before)
    if layer.kind == "flatten" and len(layer.output) < 2:
        # Flattening maps to a vector is a step of the net, unless pooling left a single number of each.
        united = prod(layer.output) != prod(before)  # with the batch
        return united or len(before) < 2 or (prod(before[1:]) == 1 and locus in ("pooling", "flattening"))
    return layer.kind in VIEWS


def _calculations(layers: Sequence[Layer]) -> Iterator[_Run]:
    """Find many operations in a row without weights, such as those that turn outputs into boxes."""
    for name, start, end in _plain_runs(layers):
        run = layers[start:end]
        strange = sum(layer.locus == "other" and layer.kind not in (*VIEWS, *SELECTING) for layer in run)
        if len(run) >= FEWEST and strange >= STRANGE:
            changes = {"kind": CALCULATION, "locus": "other", "setting": str(len(run)), "name": name} | PLAIN
            yield _Run(start, end, changes)


CALCULATION = "calculation"
"""Kind of a layer that stands for operations without weights; its setting is their number."""


def _plain_runs(layers: Sequence[Layer]) -> Iterator[tuple[str, int, int]]:
    """Yield runs of operations without weights: the name of the module that holds them, where they begin and end."""

    def group(pair: tuple[int, Layer]) -> tuple[bool, str]:
        layer = pair[1]
        plain = layer.locus in SIMPLE and not layer.parameters and layer.kernel is None
        return plain, layer.name.split(".")[0]

    for (plain, _), members in groupby(enumerate(layers), group):
        run = list(members)
        if plain:
            paths = [layer.name.split(".") for _, layer in run]
            shared = [level[0] for level in takewhile(lambda level: len(set(level)) == 1, zip(*paths, strict=False))]
            yield ".".join(shared), run[0][0], run[-1][0] + 1
