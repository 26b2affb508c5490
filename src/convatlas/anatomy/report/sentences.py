"""Describe a net in sentences, as the review's section IV describes AlexNet and ResNet-50."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convatlas.anatomy.measure.hyperparameters import loop_of
from convatlas.anatomy.measure.records import Layer, Measurement, Shape
from convatlas.anatomy.report.phrases import pair_text
from convatlas.anatomy.structure.blocks import WEIGHTED, Block, blocks, longest_path
from convatlas.anatomy.structure.repeats import runs
from convatlas.anatomy.structure.stages import Stage, stages
from convatlas.anatomy.structure.tokens import LINKED, VOTES, Words
from convatlas.anatomy.structure.wiring import Chain

UNSHARED = ("locally connected", "cognitron cells")
"""Kinds of layers with a kernel of its own at each position."""

NAMES = {
    "convolution": "Convolutional Layer",
    "grouped convolution": "Convolutional Layer",
    "dilated convolution": "Dilated Convolutional Layer",
    "depthwise convolution": "Depthwise Convolutional Layer",
    "transposed convolution": "Transposed Convolutional Layer",
    "linked convolution": "Linked Convolutional Layer",
    "locally connected": "Locally Connected Layer",
    "dense": "Fully Connected Layer",
}


def describe(anatomy: Measurement) -> list[str]:
    """Return the lines that describe a net: layer by layer if it is a plain chain, else a line for each stage."""
    words, net_stages = Words(anatomy), stages(anatomy)
    opening = _opening(anatomy, words, net_stages)
    if all(isinstance(part, int) for stage in net_stages for part in stage.chain):
        return [*opening, *_chain(net_stages, words)]
    return [*opening, *(_stage(stage, words) for stage in net_stages)]


def _opening(anatomy: Measurement, words: Words, net_stages: Sequence[Stage]) -> Iterator[str]:
    first = next((layer for stage in net_stages for layer in stage.layers if layer.locus in WEIGHTED), None)
    padded = words.layers[first.inputs[0]] if first and first.inputs[0] in words.borders else None
    more = f"; {_sides(padded.output)} once it is padded for the 1st layer" if padded else ""
    yield f"Input: {_sides(anatomy.input)}{more}"
    yield f"Total parameters trained: {anatomy.trainable:,}"
    if anatomy.unused:
        parts = [f"{name} ({number:,} parameters)" for name, number in anatomy.unused]
        yield f"Not used by the output: {_listed(parts)}"


def _chain(net_stages: Sequence[Stage], words: Words) -> Iterator[str]:
    layers = [layer for stage in net_stages for layer in stage.layers]
    groups = _groups(layers)
    number = 0
    before = None
    for layer, split in zip(layers, groups, strict=True):
        if layer.kind == "recurrence":
            yield from _loop(layer, number)
            number += len(loop_of(layer.setting).widths) - 1
            continue
        if layer.locus in WEIGHTED:
            number += 1
            yield f"{ordinal(number)}: {_weighted_layer(layer, split, words, before)}"
            before = layer
        else:
            yield f"  Then {_other(layer)}"
        moves = layer.locus not in ("activation", "regularization", "normalization")
        if moves or layer.output != words.input_shape(layer) or layer.kind == "local response normalization":
            yield f"  Outputs {_maps(layer, words, split)}"


def _groups(layers: Sequence[Layer]) -> list[int]:
    """Return for each layer in how many groups its maps are kept apart, by itself or by the next convolution."""
    result: list[int] = []
    held = 1
    for at, layer in enumerate(layers):
        held = layer.groups or held if layer.locus != "dense" else 1
        ahead = next((later.groups or 1 for later in layers[at + 1 :] if later.locus in WEIGHTED), 1)
        most = max(held, ahead)
        few = most <= 4 and len(layer.output) == 3 and layer.output[0] % most == 0
        result.append(most if few else 1)
    return result


def _loop(layer: Layer, number: int) -> Iterator[str]:
    """Yield a recurrence layer by layer; `number` layers precede it."""
    loop = loop_of(layer.setting)
    for name, width, function in zip(loop.names, loop.widths, ("identity", *loop.functions), strict=True):
        sources = ["its own state" if source == name else source for source, target in loop.arrows if target == name]
        if name == "input":
            yield from [f"  Then the sum with {_listed(sources)} of one step ago, through weights"] if sources else []
            continue
        number += 1
        back = f", which also reads {_listed(sources)} of one step ago" if sources else ""
        yield f"{ordinal(number)}: Fully Connected Layer: {width} neurons{back}"
        yield f"  Outputs {width} numbers"
        yield from [f"  Then {_titled(function)}"] if function != "identity" else []
    yield f"  All this for {loop.steps} steps, while the photo stays the same"


def _weighted_layer(layer: Layer, split: int, words: Words, before: Layer | None) -> str:
    """Return the sentence of a layer with weights; `before` is the last such layer."""
    name = NAMES.get(layer.kind, layer.kind.title())
    source, width = words.input_shape(layer), words.width_of(layer)
    if layer.kind == VOTES:
        return f"{name}: from {source[0]} capsules of {source[1]} to {width} capsules of {layer.output[-1]}"
    if layer.kernel is None or layer.stride is None:
        return f"{name}: {width} {'neurons' if layer.locus == 'dense' else 'maps'}"
    kernel = "×".join(map(str, layer.kernel))
    if layer.kind == LINKED:
        count, size = f"{width} maps, by {words.links(layer)} of {width * source[0]} links,", kernel
    else:
        count = f"{split} groups of {width // split}" if split > 1 else str(width)
        size = f"{kernel}×{source[0] // (layer.groups or 1)}"
    each = "each a kernel" if layer.kind == LINKED else "kernel" if count == "1" else "kernels"
    place = " at each place" if layer.kind in UNSHARED else ""
    apart = f", {layer.dilation[0]} pixels apart" if layer.dilation and max(layer.dilation) > 1 else ""
    pad = str(layer.padding[0]) if before is None and layer.padding else _pad(layer, words)
    wider = ""
    if before and before.kind == "depthwise convolution" and layer.kind == "convolution" and layer.kernel == (1, 1):
        name, wider = f"Pointwise {name}", ", which doubles the number of channels" if width == 2 * source[0] else ""
    return f"{name}: {count} {each} of size {size}{place}{apart} (stride: {pair_text(layer.stride)}, pad: {pad}){wider}"


def _pad(layer: Layer, words: Words) -> str:
    """Return the border of a window in words: 1, or 0 above and 1 below."""
    top, below = words.borders_of(layer)
    return str(top) if top == below else f"{top} above and {below} below"


def _other(layer: Layer) -> str:
    name = _titled(layer.kind)
    if layer.kernel is None or layer.stride is None:
        return f"{name} ({layer.setting})" if layer.kind == "dropout" else name
    wide = layer.kind.endswith("pooling") and max(layer.kernel) > max(layer.stride)
    over = "Overlapping " if wide and "Overlapping" not in name else ""
    return f"{'×'.join(map(str, layer.kernel))} {over}{name} (stride: {pair_text(layer.stride)})"


def _titled(kind: str) -> str:
    return kind if kind[:1].isupper() else kind.title()


def _maps(layer: Layer, words: Words, split: int = 1) -> str:
    shape = words.shown[layer.number]
    if not shape:
        return "a number"
    if not words.is_map(layer.number):
        return f"{'×'.join(map(str, shape))} numbers"
    groups = f" ×{split} groups" if split > 1 else ""
    return f"{'×'.join(map(str, (*shape[:2], shape[2] // split)))} feature maps{groups}"


def _stage(stage: Stage, words: Words) -> str:
    """Return the sentence of a stage: layers on its longest path, blocks, output."""
    count = longest_path(stage.chain, words)
    size = f"{count} layer{'s' if count > 1 else ''}: " if count else ""
    content = _summarized(_items(stage.chain, words))
    return f"{stage.name}: {size}{content}. Outputs {_maps(words.layers[stage.outputs[-1]], words)}"


def _summarized(items: Sequence[str]) -> str:
    """Return items in order, repeated ones once with their number."""
    texts = []
    for run in runs(items):
        once = items[run.start : run.start + run.length]
        texts.append(_times(run.times, once[0]) if run.length == 1 else f"{run.times} times ({_listed(once)})")
    return _listed(texts)


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts[:-1]) + (" and " if len(texts) > 1 else "") + texts[-1]


def _items(row: Chain, words: Words) -> list[str]:
    """Return the items of a chain; a normalization or activation is part of the item it follows."""
    items: list[str] = []
    waiting: list[str] = []
    takes = False
    for block in blocks(row, words):
        if block.kind != "layer":
            items.append(_block(block, words))
            takes, waiting = False, []
            continue
        (number,) = block.branches[0]
        assert isinstance(number, int)
        layer = words.layers[number]
        if layer.locus in ("normalization", "activation"):
            if takes:
                items[-1] += f"{' then ' if ' with ' in items[-1] else ' with '}{layer.kind}"
            else:
                waiting.append(layer.kind)
            continue
        before = " then ".join(dict.fromkeys(waiting))
        items.append(f"{before} before a {_plain(layer, words)}" if before else _plain(layer, words))
        takes, waiting = layer.locus in (*WEIGHTED, "pooling"), []
    return items or waiting


def _block(block: Block, words: Words) -> str:
    """Return a block by its common name, or by its branches and the layer that joins them."""
    branches = [_summarized(items) for branch in block.branches if (items := _items(branch, words))]
    if block.join is not None and not branches and block.kind in ("fork", "module", "sum"):
        return f"{block.join.kind} of {len(block.branches)} inputs"
    if block.join is not None and block.kind == "fork":
        return f"{' beside '.join(branches)}, then {block.join.kind}"
    return BLOCKS.get(block.kind, block.kind) + _part_count(block)


BLOCKS = {"cell": "cell", "module": "module", "dense layer": "densely connected layer"}


def _part_count(block: Block) -> str:
    parts = {"cell": "parts", "module": "branches"}.get(block.kind)
    return f" of {len(block.branches)} {parts}" if parts else ""


def _plain(layer: Layer, words: Words) -> str:
    if layer.kernel is not None and layer.stride is not None and layer.locus in WEIGHTED:
        stride = f" of stride {pair_text(layer.stride)}" if max(layer.stride) > 1 else ""
        links = f" by {words.links(layer)} links" if layer.kind == LINKED else ""
        return f"{'×'.join(map(str, layer.kernel))} {layer.kind} to {words.width_of(layer)}{links}{stride}"
    if layer.locus in WEIGHTED:
        return f"fully connected layer to {words.width_of(layer)}"
    text = _other(layer)
    return text if layer.kind[:1].isupper() else text.lower()


def _times(number: int, item: str) -> str:
    head, of, rest = item.partition(" of ")
    if head.split()[-1] in ("block", "cell", "gate", "fork", "sum", "module") or head == BLOCKS["dense layer"]:
        return f"{number} {head}{'s' if number > 1 else ''}{of}{rest}"
    return f"{number} × {item}" if number > 1 else item


def ordinal(number: int) -> str:
    """Return an ordinal number: 1st, 2nd, 3rd, 4th, 11th, ..."""
    last = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{last}"


def _sides(shape: Shape) -> str:
    return "×".join(map(str, (*shape[1:], shape[0]) if len(shape) == 3 else shape))
