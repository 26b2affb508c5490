"""The stations of a net: the maps and vectors that LeNet-5's picture would show, few enough for one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from convatlas.anatomy.anatomies import Anatomy, Layer, Shape
from convatlas.anatomy.drawing.names import times
from convatlas.anatomy.drawing.sketching import Sketcher
from convatlas.anatomy.drawing.units import Unit
from convatlas.anatomy.stages import Stage, stages
from convatlas.anatomy.words import Words

MOST = 14
"""Stations that a line holds; a net with more is shown by its stages, and then by the sizes of its maps."""


@dataclass(frozen=True)
class Station:
    """What is there after some layers.

    Attributes:
        name: Of the layer or stage.
        shape: (C, H, W) of maps, (F,) of a vector.
        made: What made it, in one line or two.
        locus: Of what made it.
        window: Height and width of the window that its first layer slides over the station before.
        groups: In how many groups its maps are kept apart, by this layer or the next.
        layers: That made it.
        follows: Whether it is made from the station before.
    """

    name: str
    shape: Shape
    made: tuple[str, ...]
    locus: str
    window: tuple[int, int] | None
    groups: int
    layers: tuple[int, ...]
    follows: bool = True


def stations(anatomy: Anatomy) -> list[Station]:
    """The photo, and what follows from it."""
    words, found = Words(anatomy), stages(anatomy)
    photo = Station("photo", anatomy.input, (), "other", None, 1, ())
    if all(isinstance(part, int) for stage in found for part in stage.row):
        single = _units(found, words)
        if len(single) < MOST:
            return [photo, *single]
    groups = [[stage] for stage in found]
    if len(groups) >= MOST:
        groups = [list(run) for _, run in groupby(found, key=lambda stage: _shape(stage)[1:])]
    made = [photo]
    before = {0}
    for group in groups:
        reads = {number for stage in group for number in stage.sources}
        made.append(replace(_stage(group, words), follows=bool(reads & before)))
        before = {number for stage in group for number in stage.outputs}
    return made


def _units(found: Sequence[Stage], words: Words) -> list[Station]:
    """Each convolution, pooling or dense layer with what stands with it.

    Maps are drawn in groups from the convolution that makes them for a grouped one up to the one that reads all.
    """
    made: list[Station] = []
    sketcher = Sketcher(words)
    held = 1
    units = [piece for stage in found for piece in sketcher.sketch(stage.row) if isinstance(piece, Unit)]
    for at, unit in enumerate(units):
        if unit.locus == "flattening" and made and made[-1].shape[1:] == (1, 1):
            continue
        layers = [words.layers[number] for number in unit.layers]
        window = next((layer.kernel for layer in layers if layer.kernel), None)
        held = _groups(unit, words) or held
        groups = max(held, next((many for one in units[at + 1 :] if (many := _groups(one, words))), 1))
        split = groups if 1 < groups < 4 and len(unit.shape) == 3 else 1
        what = " · ".join(name for name, _ in (*unit.before, *unit.after) if not name.startswith("drop"))
        lines = tuple(line for line in (*unit.text[:1], what) if line)
        made.append(Station(_name(layers), unit.shape, lines, unit.locus, window, split, unit.layers))
    return made


def _groups(unit: Unit, words: Words) -> int:
    """In how many groups a unit's convolution keeps its maps; 0 if it has none."""
    return max(words.layers[number].groups or 0 for number in unit.layers)


def _stage(group: Sequence[Stage], words: Words) -> Station:
    layers = [layer for stage in group for layer in stage.layers]
    first = next((layer for layer in layers if layer.kernel is not None), None)
    counts = Counter(layer.locus for layer in layers if layer.locus in ("convolution", "dense", "pooling"))
    gates = sum(layer.kind == "product" and len(layer.inputs) > 1 for layer in layers)
    sums = sum(layer.kind == "sum" and len(layer.inputs) > 1 for layer in layers)
    made = tuple(_several(number, locus) for locus, number in counts.most_common(2))
    extra = [_several(sums, "skip")] if sums else [_several(gates, "gate")] if gates else []
    names = [stage.name for stage in group]
    name = names[0] if len(names) == 1 else f"{names[0]} – {names[-1]}"
    locus = counts.most_common(1)[0][0] if counts else layers[-1].locus
    window = first.kernel if first else None
    return Station(name, _shape(group[-1]), (*made, *extra), locus, window, 1, tuple(one.number for one in layers))


def _shape(stage: Stage) -> Shape:
    return next(layer.output for layer in reversed(stage.layers) if layer.number == stage.outputs[-1])


def _several(number: int, what: str) -> str:
    plural = {"dense": "dense"}.get(what, f"{what}s")
    return f"{number} {plural if number > 1 else what}"


def _name(layers: Sequence[Layer]) -> str:
    """What the layers' names have in common: of the module that holds them, or of the only one."""
    parts = [layer.name.split(".") for layer in layers]
    shared = [level[0] for level in zip(*parts, strict=False) if len(set(level)) == 1]
    if shared[1:] and shared[-1] == shared[-2]:
        shared.pop()
    name = ".".join(shared) or parts[0][0] or layers[0].kind
    return f"layer {name}" if name.isdigit() else name


def sized(shape: Shape) -> str:
    """A shape as LeNet-5's picture writes it: 6@28×28."""
    return f"{shape[0]}@{times(shape[1:])}" if len(shape) == 3 else times(shape)
