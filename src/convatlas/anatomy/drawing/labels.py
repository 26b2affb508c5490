"""Label boxes: short names of layers, and shapes as papers write them."""

from __future__ import annotations

from collections.abc import Iterable

from convatlas.anatomy.measure.hyperparameters import STEPS
from convatlas.anatomy.measure.records import Layer
from convatlas.anatomy.structure.condense import ATTENTION, CALCULATION
from convatlas.anatomy.structure.tokens import LINKED, VOTES, Words
from convatlas.genes.label import short_of

SIGNS = {"sum": "+", "product": "×", "concatenation": "concat"}

SHORT = {
    "batch normalization": "BN",
    "layer normalization": "LN",
    "group normalization": "GN",
    "instance normalization": "IN",
    "local response normalization": "LRN",
    "hard swish": "h-swish",
    "dropout": "drop",
    "padding": "pad",
    "global average pooling": "global average",
    "adaptive average pooling": "average",
    "adaptive max pooling": "max",
    "max pooling": "max pool",
    "average pooling": "average pool",
    "convolution": "conv",
    "dilated convolution": "dilated conv",
    "grouped convolution": "conv",
    "depthwise convolution": "depthwise",
    "transposed convolution": "up-conv",
    "getitem": "slice",
    "chunk": "split",
    "unbind": "split",
    "tensor_split": "split",
    "matmul": "product of matrices",
    "bmm": "product of matrices",
}


def short_kind(kind: str) -> str:
    """Return the short name of a kind of layer."""
    return SHORT.get(kind) or short_of(kind)


def short(layer: Layer) -> str:
    """Return a layer's short name, with its rate or slope."""
    name = short_kind(layer.kind)
    if layer.kind == "photo normalization":
        return "rescale" if layer.setting else "standardize"
    has_rate = layer.kind in ("dropout", "scaling", "leaky ReLU") and layer.setting
    return f"{name} {layer.setting.removeprefix('0')}" if has_rate else name


def labels(layer: Layer, words: Words) -> tuple[str, ...]:
    """Return the lines of a layer's box: its kind with its window, then its width; none where a sign is enough."""
    if layer.kind in SIGNS:
        return () if len(layer.inputs) > 1 else (f"{SIGNS[layer.kind]} constant",)
    name = short(layer)
    if layer.kind == CALCULATION:
        parts = layer.name.split(".")
        name = ".".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])
        return name or "calculation", f"{layer.setting} operations"
    if layer.kind == ATTENTION:
        return (name, f"{layer.setting} heads") if layer.setting not in ("", "1") else (name,)
    if layer.kind == "getitem" and layer.setting:
        return (f"{name} [{layer.setting.replace(',', ', ')}]",)
    if layer.setting.endswith(STEPS):
        return name, f"{layer.setting.removesuffix(STEPS)} {STEPS}"
    width = (
        f"{words.width_of(layer)} capsules of {layer.output[-1]}" if layer.kind == VOTES else str(words.width_of(layer))
    )
    if layer.kernel is None or layer.stride is None:
        return (name, width) if layer.locus == "dense" else (name,)
    window = shape_text(layer.kernel)
    stride = f" /{shape_text(layer.stride) if layer.stride[0] != layer.stride[1] else layer.stride[0]}"
    first = f"{window} {name}{stride if max(layer.stride) > 1 else ''}"
    if layer.locus != "convolution":
        return (first,)
    groups = f" · {layer.groups} groups" if layer.kind == "grouped convolution" else ""
    apart = f" · {layer.dilation[0]} apart" if layer.dilation and max(layer.dilation) > 1 else ""
    links = f" · {words.links(layer)} links" if layer.kind == LINKED else ""
    return first, f"{width}{groups}{links}{apart}"


def shape_text(sides: tuple[int, ...]) -> str:
    """Return sides as papers write them: 3×3, 56×56×256."""
    return "×".join(map(str, sides))


def amount(number: float, unit: str) -> str:
    """Return a number in three digits, with its unit: 25.6M parameters, 3.86G MACs."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return (
                f"{number / size:.3g}{letter} {unit}"
                if number < 999.5 * size
                else f"{number / size:.0f}{letter} {unit}"
            )
    return f"{number:g} {unit}"


def tooltip(numbers: Iterable[int], words: Words) -> str:
    """Return the text under the mouse for a box of layers."""
    texts = []
    for number in numbers:
        layer = words.layers[number]
        parts = [f"{layer.name or 'the net'}: {layer.kind}, {shape_text(words.shown[number])}"]
        parts += [f"{layer.parameters:,} parameters"] if layer.parameters else []
        parts += [f"{layer.macs:,} MACs"] if layer.macs else []
        parts += [f"field {shape_text(layer.field)}"] if layer.field else []
        texts.append(", ".join(parts))
    return "; ".join(texts)
