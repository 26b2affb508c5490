"""A net in sentences, as the review's section IV tells AlexNet and ResNet-50."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from convatlas.anatomy.anatomies import Anatomy, Layer, Shape
from convatlas.anatomy.blocks import WEIGHING, Block, blocks, weighing
from convatlas.anatomy.stages import Stage, stages
from convatlas.anatomy.words import Words

NAMES = {
    "convolution": "Convolutional Layer",
    "grouped convolution": "Convolutional Layer",
    "dilated convolution": "Dilated Convolutional Layer",
    "depthwise convolution": "Depthwise Convolutional Layer",
    "transposed convolution": "Transposed Convolutional Layer",
    "dense": "Fully Connected Layer",
}


def described(anatomy: Anatomy) -> list[str]:
    """The net in lines: each layer of a net that is one row of layers, each stage of any other."""
    words, found = Words(anatomy), stages(anatomy)
    opening = [*_opening(anatomy, words, found), f"Total parameters trained: {anatomy.trainable:,}"]
    if all(isinstance(part, int) for stage in found for part in stage.row):
        return [*opening, *_row(found, words)]
    return [*opening, *(_stage(stage, words) for stage in found)]


def _opening(anatomy: Anatomy, words: Words, found: Sequence[Stage]) -> Iterator[str]:
    first = next((one for stage in found for one in stage.layers if one.locus in WEIGHING), None)
    padded = words.layers[first.inputs[0]] if first and first.inputs[0] in words.borders else None
    more = f"; {_sides(padded.output)} once it is padded for the 1st layer" if padded else ""
    yield f"Input: {_sides(anatomy.input)}{more}"


def _row(found: Sequence[Stage], words: Words) -> Iterator[str]:
    layers = [layer for stage in found for layer in stage.layers]
    groups = _groups(layers)
    number = 0
    for layer, split in zip(layers, groups, strict=True):
        if layer.locus in WEIGHING:
            number += 1
            yield f"{ordinal(number)}: {_weighing(layer, split, words, number == 1)}"
        else:
            yield f"  Then {_other(layer)}"
        moves = layer.locus not in ("activation", "regularization", "normalization")
        if moves or layer.kind == "local response normalization":
            yield f"  Outputs {_maps(layer.output, split)}"


def _groups(layers: Sequence[Layer]) -> list[int]:
    """For each layer, in how many groups its maps lie: its own, or those of the convolution that reads them next."""
    found: list[int] = []
    held = 1
    for at, layer in enumerate(layers):
        held = layer.groups or held if layer.locus != "dense" else 1
        ahead = next((one.groups or 1 for one in layers[at + 1 :] if one.locus in WEIGHING), 1)
        most = max(held, ahead)
        few = most <= 4 and len(layer.output) == 3 and layer.output[0] % most == 0
        found.append(most if few else 1)
    return found


def _weighing(layer: Layer, split: int, words: Words, first: bool) -> str:
    name = NAMES.get(layer.kind, layer.kind.title())
    if layer.kernel is None or layer.stride is None:
        return f"{name}: {layer.output[-1]} neurons" if layer.locus == "dense" else f"{name}: {layer.output[0]} maps"
    given = words.given(layer)
    depth = given[0] // (layer.groups or 1)
    size = "×".join(map(str, (*layer.kernel, depth)))
    many = f"{split} groups of {layer.output[0] // split}" if split > 1 else str(layer.output[0])
    apart = f", {layer.dilation[0]} pixels apart" if layer.dilation and max(layer.dilation) > 1 else ""
    pad = str(layer.padding[0]) if first and layer.padding else _pad(layer, words)
    return f"{name}: {many} kernels of size {size}{apart} (stride: {_pair(layer.stride)}, pad: {pad})"


def _pad(layer: Layer, words: Words) -> str:
    """The border of a window in words: 1, or 0 above and 1 below."""
    top, below = words.borders_of(layer)
    return str(top) if top == below else f"{top} above and {below} below"


def _other(layer: Layer) -> str:
    name = layer.kind if layer.kind[:1].isupper() else layer.kind.title()
    if layer.kernel is None or layer.stride is None:
        return f"{name} ({layer.setting})" if layer.kind == "dropout" else name
    over = "Overlapping " if max(layer.kernel) > max(layer.stride) and "Overlapping" not in name else ""
    return f"{'×'.join(map(str, layer.kernel))} {over}{name} (stride: {_pair(layer.stride)})"


def _maps(shape: Shape, split: int = 1) -> str:
    if len(shape) != 3:
        return f"{'×'.join(map(str, shape))} numbers"
    groups = f" ×{split} groups" if split > 1 else ""
    return f"{_sides((shape[0] // split, *shape[1:]))} feature maps{groups}"


def _stage(stage: Stage, words: Words) -> str:
    """One stage: how many layers its longest way has, its blocks, what it gives."""
    count = weighing(stage.row, words)
    size = f"{count} layer{'s' if count > 1 else ''}: " if count else ""
    told = [_times(number, what) for what, number in Counter(_items(stage, words)).items()]
    listed = ", ".join(told[:-1]) + (" and " if len(told) > 1 else "") + told[-1]
    return f"{stage.name}: {size}{listed}. Outputs {_maps(words.shapes[stage.outputs[-1]])}"


def _items(stage: Stage, words: Words) -> list[str]:
    """What a stage consists of; what follows a layer or stands before one goes with it, and with blocks unsaid."""
    items: list[str] = []
    waiting: list[str] = []
    takes = False
    for block in blocks(stage.row, words):
        if block.kind != "layer":
            items.append(BLOCKS.get(block.kind, block.kind) + _of(block))
            takes, waiting = False, []
            continue
        (number,) = block.ways[0]
        assert isinstance(number, int)
        layer = words.layers[number]
        if layer.locus in ("normalization", "activation"):
            if takes:
                items[-1] += f"{' then ' if ' with ' in items[-1] else ' with '}{layer.kind}"
            else:
                waiting.append(layer.kind)
            continue
        before = " then ".join(dict.fromkeys(waiting))
        items.append(f"{before} before a {_plain(layer)}" if before else _plain(layer))
        takes, waiting = layer.locus in WEIGHING, []
    return items or waiting


BLOCKS = {"cell": "cell", "module": "module", "dense layer": "densely connected layer"}


def _of(block: Block) -> str:
    parts = {"cell": "parts", "module": "branches"}.get(block.kind)
    return f" of {len(block.ways)} {parts}" if parts else ""


def _plain(layer: Layer) -> str:
    if layer.kernel is not None and layer.stride is not None and layer.locus in WEIGHING:
        stride = f" of stride {_pair(layer.stride)}" if max(layer.stride) > 1 else ""
        return f"{'×'.join(map(str, layer.kernel))} {layer.kind} to {layer.output[0]}{stride}"
    if layer.locus in WEIGHING:
        return f"fully connected layer to {layer.output[-1]}"
    text = _other(layer)
    return text if layer.kind[:1].isupper() else text.lower()


def _times(number: int, what: str) -> str:
    head, of, rest = what.partition(" of ")
    if head.split()[-1] in ("block", "cell", "gate", "fork", "sum", "module") or head == BLOCKS["dense layer"]:
        return f"{number} {head}{'s' if number > 1 else ''}{of}{rest}"
    return f"{number} × {what}" if number > 1 else what


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, ..."""
    last = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{last}"


def _pair(sides: tuple[int, int]) -> str:
    return str(sides[0]) if sides[0] == sides[1] else f"{sides[0]}×{sides[1]}"


def _sides(shape: Shape) -> str:
    return "×".join(map(str, (*shape[1:], shape[0]) if len(shape) == 3 else shape))
