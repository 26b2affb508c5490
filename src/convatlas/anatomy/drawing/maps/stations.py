"""Choose the stations of a net: the maps and vectors that LeNet-5's picture would show, few enough for one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from convatlas.anatomy.drawing.labels import shape_text
from convatlas.anatomy.drawing.sketch.pieces import Recurrence, Unit
from convatlas.anatomy.drawing.sketch.sketcher import Sketcher
from convatlas.anatomy.measure.records import Layer, Measurement, Shape
from convatlas.anatomy.structure.stages import Stage, stages
from convatlas.anatomy.structure.tokens import Words

MOST = 14
"""Stations on a line; a net with more is shown by its stages, or else by the sizes of its maps."""


@dataclass(frozen=True)
class Station:
    """The maps or vector after some layers.

    Attributes:
        name: Name of the layer or stage.
        shape: (C, H, W) of maps, other sides of anything else.
        text: What computes it, in one line or two.
        locus: Locus of the layers that compute it.
        window: Height and width of the window that its first layer slides over the station before.
        groups: In how many groups this or the next layer keeps its maps apart.
        layers: Numbers of the layers that compute it.
        crosses: Whether each of its groups reads all groups of the station before.
        flat: Whether it holds no maps.
        follows: Whether it is computed from the station before.
    """

    name: str
    shape: Shape
    text: tuple[str, ...]
    locus: str
    window: tuple[int, int] | None
    groups: int
    layers: tuple[int, ...]
    crosses: bool = False
    flat: bool = False
    follows: bool = True

    @property
    def size(self) -> str:
        """Shape as LeNet-5's picture writes it: 6@28×28, that of two groups as 2 × 3@28×28."""
        if self.flat:
            return shape_text(self.shape) or "a number"
        each = f"{self.shape[0] // self.groups}@{shape_text(self.shape[1:])}"
        return each if self.groups == 1 else f"{self.groups} × {each}"


def stations(anatomy: Measurement) -> list[Station]:
    """Return the photo and the stations after it."""
    words, net_stages = Words(anatomy), stages(anatomy)
    photo = Station("photo", anatomy.input, (), "other", None, 1, (), flat=len(anatomy.input) != 3)
    if all(isinstance(part, int) for stage in net_stages for part in stage.chain):
        single = _units(net_stages, words)
        if len(single) < MOST:
            return [photo, *single]
    groups = [[stage] for stage in net_stages]
    if len(groups) >= MOST:
        sizes = {stage.name: words.layers[stage.outputs[-1]].output[1:] for stage in net_stages}
        groups = [list(run) for _, run in groupby(net_stages, key=lambda stage: sizes[stage.name])]
    result = [photo]
    before: Layer | None = None
    read = {0}
    for group in groups:
        reads = {number for stage in group for number in stage.sources}
        result.append(replace(_stage(group, before, words), follows=bool(reads & read)))
        read = {number for stage in group for number in stage.outputs}
        before = words.layers[group[-1].outputs[-1]]
    return result


def _units(net_stages: Sequence[Stage], words: Words) -> list[Station]:
    """Return each convolution, pooling or dense layer with the layers attached to it.

    Maps are drawn in groups from the convolution whose output a grouped one reads up to the next that reads all groups.
    """
    result: list[Station] = []
    sketcher = Sketcher(words)
    held = 1
    pieces = [piece for stage in net_stages for piece in sketcher.sketch(stage.chain)]
    units = [piece for piece in pieces if isinstance(piece, Unit)]
    for piece in pieces:
        if isinstance(piece, Recurrence):
            result += _recurrent(piece)
            continue
        if not isinstance(piece, Unit) or (piece.locus == "flattening" and result and result[-1].shape[1:] == (1, 1)):
            continue
        unit = piece
        layers = [words.layers[number] for number in unit.layers]
        window = next((layer.kernel for layer in layers if layer.kernel), None)
        own = _groups(unit, words)
        held = own or held
        later = (_groups(other, words) for other in units[units.index(unit) + 1 :])
        groups = max(held, next((count for count in later if count), 1))
        flat = not words.is_map(unit.layers[-1])
        split = groups if 1 < groups < 4 and not flat else 1
        attached = " · ".join(name for name, _ in (*unit.before, *unit.after) if not name.startswith("drop"))
        lines = tuple(line for line in (*unit.text[:1], attached) if line)
        crosses = own == 1 and bool(result) and result[-1].groups == split > 1
        shape = _sides(layers[-1], words)
        result.append(Station(_name(layers), shape, lines, unit.locus, window, split, unit.layers, crosses, flat))
    return result


def _recurrent(piece: Recurrence) -> Iterator[Station]:
    """Yield each layer of a recurrence, with the layers that feed back into it."""
    loop = piece.loop
    for name, width, function in zip(loop.names[1:], loop.widths[1:], loop.functions, strict=True):
        back = [source for source, target in loop.arrows if target == name]
        lines = (
            "dense",
            *((function,) if function != "identity" else ()),
            *(f"and {source} before" for source in back),
        )
        yield Station(name, (width,), lines, "dense", None, 1, piece.layers, flat=True)


def _groups(unit: Unit, words: Words) -> int:
    """Return in how many groups a unit's convolution keeps its maps; 0 if it has none."""
    return max(words.layers[number].groups or 0 for number in unit.layers)


def stage_text(layers: Sequence[Layer]) -> tuple[tuple[str, ...], str]:
    """Return how many layers of the most frequent kinds there are, and the locus of the first of these."""
    counts = Counter(layer.locus for layer in layers if layer.locus in ("convolution", "dense", "pooling", "attention"))
    gates = sum(layer.kind == "product" and len(layer.inputs) > 1 for layer in layers)
    sums = sum(layer.kind == "sum" and len(layer.inputs) > 1 for layer in layers)
    text = tuple(_several(number, locus) for locus, number in counts.most_common(2))
    extra = [_several(sums, "skip")] if sums else [_several(gates, "gate")] if gates else []
    return (*text, *extra), counts.most_common(1)[0][0] if counts else layers[-1].locus


def _stage(group: Sequence[Stage], before: Layer | None, words: Words) -> Station:
    layers = [layer for stage in group for layer in stage.layers]
    last = words.layers[group[-1].outputs[-1]]
    text, locus = stage_text(layers)
    names = [stage.name for stage in group]
    name = names[0] if len(names) == 1 else f"{names[0]} – {names[-1]}"
    numbers = tuple(layer.number for layer in layers)
    flat = not words.is_map(last.number)
    window = _window(before, last)
    return Station(name, _sides(last, words), text, locus, window, 1, numbers, flat=flat)


def _sides(layer: Layer, words: Words) -> Shape:
    """Return the shape of a layer's output: of maps (C, H, W)."""
    shape = words.shown[layer.number]
    return (shape[-1], *shape[:-1]) if words.is_map(layer.number) else shape


def _window(before: Layer | None, last: Layer) -> tuple[int, int] | None:
    """Return the window on the maps `before` (None: the photo) that one unit of `last` sees, None if there is none."""
    fields = (1, 1) if before is None else before.field, last.field
    steps = (1, 1) if before is None else before.field_stride
    if fields[0] is None or fields[1] is None or steps is None or not all(steps):
        return None
    high, wide = (
        1 + int(max(0, own - side) // step) for own, side, step in zip(fields[1], fields[0], steps, strict=True)
    )
    return high, wide


def _several(number: int, noun: str) -> str:
    plural = {"dense": "dense"}.get(noun, f"{noun}s")
    return f"{number} {plural if number > 1 else noun}"


def _name(layers: Sequence[Layer]) -> str:
    """Return the common part of the layers' names: the module that holds them, or the only layer."""
    parts = [layer.name.split(".") for layer in layers]
    shared = [level[0] for level in zip(*parts, strict=False) if len(set(level)) == 1]
    if shared[1:] and shared[-1] == shared[-2]:
        shared.pop()
    name = ".".join(shared) or parts[0][0] or layers[0].kind
    return f"layer {name}" if name.isdigit() else name
