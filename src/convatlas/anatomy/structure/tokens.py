"""The words of a net's DNA: one a layer, such as `c3/2-64` or `relu`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod

from convatlas.anatomy.measure.records import Layer, Measurement, Shape
from convatlas.anatomy.structure.stages import folded
from convatlas.genes.label import token_of

SHORT = {
    "convolution": "c",
    "dilated convolution": "c",
    "grouped convolution": "c",
    "depthwise convolution": "dw",
    "transposed convolution": "up",
    "dense": "dense",
    "max pooling": "max",
    "average pooling": "avg",
    "adaptive average pooling": "avg",
    "adaptive max pooling": "max",
    "global average pooling": "gap",
    "flatten": "flat",
    "batch normalization": "bn",
    "layer normalization": "ln",
    "group normalization": "gn",
    "instance normalization": "in",
    "local response normalization": "lrn",
    "ReLU": "relu",
    "ReLU6": "relu6",
    "leaky ReLU": "leaky",
    "SiLU": "silu",
    "GELU": "gelu",
    "hard swish": "hswish",
    "logistic": "logistic",
    "sum": "+",
    "product": "*",
    "concatenation": ",",
    "dropout": "drop",
    "padding": "pad",
}
"""DNA's names for kinds of layers that PyTorch has; those of our own modules stand in their labels."""

JOINS = ("sum", "product", "concatenation")

VOTES, LINKED = "capsule votes", "linked convolution"
"""Kinds whose width and weights are not counted as those of others."""


def is_map(layer: Layer) -> bool:
    """Whether a layer gives maps (C, H, W); three sides of a dense layer are something else, in that order."""
    return len(layer.output) == 3 and layer.locus != "dense"


def width_of(layer: Layer) -> int:
    """How many maps, numbers or types of capsules a layer with weights gives."""
    if layer.kind == VOTES:
        return layer.output[-2]
    return layer.output[-1 if layer.locus == "dense" else 0]


@dataclass(frozen=True)
class Word:
    """One layer's word.

    Attributes:
        head: What it is: `c`, `relu`.
        window: Kernel and stride, `3/2`; the kernel as `1x7` if its sides differ.
        border: "" where it is half the window all round, `s` where the odd pixel goes below and right (TensorFlow's
            "same"), `v` where there is none, else the pixels above (and below) as `p1` or `p1:2`. What differs for
            rows and columns is written twice, half the window as `h`.
        dilation: `d2`.
        groups: `g32`.
        width: Channels or numbers out, `-64`; "" where they are as many as came in.
        bias: `b` for a convolution or dense layer with biases, `*` for a batch normalization without a gain, the number
            of parameters in brackets where neither explains it.
        setting: `:0.2`.
    """

    head: str
    window: str = ""
    border: str = ""
    dilation: str = ""
    groups: str = ""
    width: str = ""
    bias: str = ""
    setting: str = ""

    def __str__(self) -> str:
        parts = (self.window, self.border, self.dilation, self.groups, self.width, self.bias, self.setting)
        return self.head + "".join(parts)

    @property
    def kind(self) -> str:
        """The word without its width: what stays when a net is made wider."""
        return self.head + self.window + self.dilation


def _seen(layer: Layer) -> Shape:
    return (*layer.output[1:], layer.output[0]) if is_map(layer) else layer.output


class Words:
    """The words of a net's layers, by number; beside them their shapes, and these as one reads them: channels last."""

    def __init__(self, anatomy: Measurement):
        self.layers: Mapping[int, Layer] = {layer.number: layer for layer in anatomy.layers}
        self.shapes: dict[int, Shape] = {0: anatomy.input}
        self.shapes |= {layer.number: layer.output for layer in anatomy.layers}
        photo = anatomy.input
        self.shown: dict[int, Shape] = {0: (*photo[1:], photo[0]) if len(photo) == 3 else photo}
        self.shown |= {layer.number: _seen(layer) for layer in anatomy.layers}
        self.borders = folded(anatomy)

    def input_shape(self, layer: Layer) -> Shape:
        """The shape of what a layer reads, before a border that is its own."""
        return self.shapes[self._bare(layer)[0]]

    def links(self, layer: Layer) -> int:
        """How many kernels a linked convolution has, each from one map to another."""
        assert layer.kernel is not None
        return layer.macs // prod((*layer.kernel, *layer.output[1:]))

    def word(self, number: int) -> Word:
        """The word of a layer."""
        layer = self.layers[number]
        head = SHORT.get(layer.kind) or token_of(layer.kind)
        before = self.input_shape(layer)
        if layer.kind.startswith("adaptive") and layer.output[1:] == (1, 1):
            head = {"avg": "gap", "max": "gmp"}[head]
        weighs = layer.locus in ("convolution", "dense")
        wide = weighs and not (head == "dw" and layer.output[0] == before[0])
        return Word(
            head=head,
            window=_window(layer),
            border=self._border(layer, before) if layer.kernel or layer.kind == "padding" else "",
            dilation=f"d{_sides(layer.dilation)}" if layer.dilation and max(layer.dilation) > 1 else "",
            groups=f"g{layer.groups}" if layer.kind == "grouped convolution" else "",
            width=f"-{width_of(layer)}" if wide else "",
            bias=_bias(layer, before) if weighs or head == "bn" else "",
            setting=":" + layer.setting.replace(" ", ",") if layer.setting else "",
        )

    def _bare(self, layer: Layer) -> tuple[int, tuple[int, int]]:
        """What a layer reads before a border that a layer of its own adds for it, and how much that adds above."""
        number = layer.inputs[0]
        if number in self.borders:
            border = self.layers[number]
            return border.inputs[0], border.padding or (0, 0)
        return number, (0, 0)

    def borders_of(self, layer: Layer) -> tuple[int, int]:
        """Rows that lie above and below the map that a window reads: its own, and those a layer of its own adds."""
        before = self.input_shape(layer)
        if layer.kernel is None or layer.stride is None or len(before) != 3:
            return 0, 0
        top = (layer.padding or (0, 0))[0] + self._bare(layer)[1][0]
        reach = (layer.kernel[0] - 1) * (layer.dilation or (1, 1))[0] + 1
        below = (layer.output[1] - 1) * layer.stride[0] + reach - before[1] - top
        # Rows of a symmetric border that the last window does not reach are there all the same.
        half = layer.output[1] == (before[1] + 2 * top - reach) // layer.stride[0] + 1
        return top, top if half else max(0, below)

    def _border(self, layer: Layer, before: Shape) -> str:
        if len(before) != 3 or len(layer.output) != 3 or layer.padding is None:
            return ""
        marks: list[str] = []
        for side in (0, 1):
            top, size, output = (
                layer.padding[side] + self._bare(layer)[1][side],
                before[1 + side],
                layer.output[1 + side],
            )
            if layer.kernel is None or layer.stride is None:
                marks.append(f"{top}:{output - size - top}")
                continue
            dilation = layer.dilation[side] if layer.dilation else 1
            reach = (layer.kernel[side] - 1) * dilation + 1
            marks.append(_mark(reach, layer.stride[side], top, size, output))
        return marks[0] if marks[0] == marks[1] else f"{marks[0] or 'h'}{marks[1] or 'h'}"


def _mark(reach: int, step: int, top: int, size: int, output: int) -> str:
    """How one side's border is written (see `Word.border`), from what it adds before and the sizes in and out."""
    half = (reach - 1) // 2
    if top == half and output == (size + 2 * half - reach) // step + 1:
        return ""
    total = max((ceil(size / step) - 1) * step + reach - size, 0)
    if output == ceil(size / step) and top == total // 2:
        return "s"
    below = max(0, (output - 1) * step + reach - size - top)
    if top == 0 and below == 0:
        return "v"
    return f"p{top}" if output == (size + 2 * top - reach) // step + 1 else f"p{top}:{below}"


def _window(layer: Layer) -> str:
    if layer.kernel is None or layer.stride is None:
        pooled = layer.kind.startswith("adaptive") and layer.output[1:] != (1, 1)
        return "->" + _sides((layer.output[-2], layer.output[-1])) if pooled else ""
    return _sides(layer.kernel) + (f"/{_sides(layer.stride)}" if max(layer.stride) > 1 else "")


def _sides(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"


def _bias(layer: Layer, before: Shape) -> str:
    if layer.kind == "batch normalization":
        channels = layer.output[0]
        return {4 * channels: "", 3 * channels: "*", 2 * channels: "0"}.get(layer.parameters, f"({layer.parameters})")
    if layer.kernel is not None:
        width = layer.output[0]
        weights = width * (before[0] // (layer.groups or 1)) * layer.kernel[0] * layer.kernel[1]
    else:
        width = layer.output[-1]
        weights = width * before[-1]
    return {weights: "", weights + width: "b"}.get(layer.parameters, f"({layer.parameters})")
