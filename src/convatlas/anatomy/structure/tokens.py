"""Tokens of a net's DNA: one for each layer, such as `c3/2-64` or `relu`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod

from convatlas.anatomy.measure.records import Layer, Measurement, Shape
from convatlas.anatomy.structure.condense import ATTENTION, condensed
from convatlas.anatomy.structure.layouts import channels_last
from convatlas.anatomy.structure.stages import folded_borders
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
"""Tokens of kinds of layers that PyTorch has; our own modules carry theirs in their labels."""

JOINS = ("sum", "product", "concatenation")

VOTES, LINKED = "capsule votes", "linked convolution"
"""Kinds whose width and weights are counted differently from others."""


@dataclass(frozen=True)
class Word:
    """The token of one layer, by its parts.

    Attributes:
        head: Kind of the layer: `c`, `relu`.
        window: Kernel and stride, `3/2`; the kernel as `1x7` if its sides differ.
        border: Padding: "" for half the window on all sides, `s` if the odd pixel is below and right (TensorFlow's
            "same"), `v` for none, else the pixels above (and below) as `p1` or `p1:2`. If rows and columns differ, both
            are written, with half the window as `h`.
        dilation: Dilation, `d2`.
        groups: Number of groups, `g32`.
        width: Number of output channels or units, `-64`; "" for a depthwise convolution that keeps it.
        bias: `b` for a convolution or dense layer with biases, `*` for a batch normalization without a gain, the number
            of parameters in brackets if neither explains it.
        setting: Hyperparameters, `:0.2`.
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
        """The token without its width, which stays the same in a wider net."""
        return self.head + self.window + self.dilation


class Words:
    """Tokens of a net's layers by number; `shapes` are those of their outputs, `shown` the same with channels last."""

    def __init__(self, anatomy: Measurement):
        net = condensed(anatomy)
        self.layers: Mapping[int, Layer] = {layer.number: layer for layer in net.layers}
        self.shapes: dict[int, Shape] = {0: net.input} | {layer.number: layer.output for layer in net.layers}
        self.sides = net.sides
        self.shown = {number: channels_last(shape, self.sides[number]) for number, shape in self.shapes.items()}
        self.borders = folded_borders(net)

    def width_of(self, layer: Layer) -> int:
        """Number of channels, units or capsule types that a layer with weights outputs."""
        if layer.kind == VOTES:
            return layer.output[-2]
        # A single number has no sides.
        shape = self.shown[layer.number] if layer.locus == "dense" else layer.output[:1]
        return shape[-1] if shape else 1

    def is_map(self, number: int) -> bool:
        """Whether a layer outputs maps, which have rows, columns and channels; 0 is the photo."""
        if len(self.shapes[number]) != 3 or self.sides[number] is None:
            return False
        layer = self.layers.get(number)
        if layer is None or layer.locus != "dense":
            return True
        # The output of a dense layer on a map is a map again; on another tensor of three sides it is none.
        source = layer.inputs[0]
        return self.shown[source][:-1] == self.shown[number][:-1] and self.is_map(source)

    def input_shape(self, layer: Layer) -> Shape:
        """Shape of a layer's input, before any separate padding layer."""
        return self.shapes[self._unpadded_input(layer)[0]]

    def links(self, layer: Layer) -> int:
        """Number of kernels of a linked convolution, each from one channel to another."""
        assert layer.kernel is not None
        return layer.macs // prod((*layer.kernel, *layer.output[1:]))

    def word(self, number: int) -> Word:
        """The token of a layer."""
        layer = self.layers[number]
        head = SHORT.get(layer.kind) or token_of(layer.kind)
        before = self.input_shape(layer)
        if layer.kind.startswith("adaptive") and layer.output[1:] == (1, 1):
            head = {"avg": "gap", "max": "gmp"}[head]
        is_weighted = layer.locus in ("convolution", "dense")
        wide = is_weighted and not (head == "dw" and layer.output[0] == before[0])
        return Word(
            head=head,
            window=_window(layer),
            border=self._border(layer, before) if layer.kernel or layer.kind == "padding" else "",
            dilation=f"d{_sides(layer.dilation)}" if layer.dilation and max(layer.dilation) > 1 else "",
            groups=f"g{layer.groups}" if layer.kind == "grouped convolution" else "",
            width=f"-{self.width_of(layer)}" if wide else "",
            bias=self._bias(layer) if is_weighted or head == "bn" or layer.kind == ATTENTION else "",
            setting=":" + layer.setting.replace(" ", ",") if layer.setting else "",
        )

    def _bias(self, layer: Layer) -> str:
        numbers = f"({layer.parameters})" if layer.parameters else ""
        if layer.kind == ATTENTION:
            return numbers
        width = self.width_of(layer)
        if layer.kind == "batch normalization":
            width = layer.output[0]
            return {4 * width: "", 3 * width: "*", 2 * width: "0"}.get(layer.parameters, numbers)
        before = self.input_shape(layer)
        if layer.kernel is not None:
            weights = width * (before[0] // (layer.groups or 1)) * layer.kernel[0] * layer.kernel[1]
        else:
            weights = width * (self.shown[self._unpadded_input(layer)[0]] or (1,))[-1]
        return {weights: "", weights + width: "b"}.get(layer.parameters, numbers)

    def _unpadded_input(self, layer: Layer) -> tuple[int, tuple[int, int]]:
        """Input of a layer before any separate padding layer, and the padding (above, left) that such a layer adds."""
        number = layer.inputs[0]
        if number in self.borders:
            border = self.layers[number]
            return border.inputs[0], border.padding or (0, 0)
        return number, (0, 0)

    def borders_of(self, layer: Layer) -> tuple[int, int]:
        """Rows of padding above and below a window's input, including those of a separate padding layer."""
        before = self.input_shape(layer)
        if layer.kernel is None or layer.stride is None or len(before) != 3:
            return 0, 0
        top = (layer.padding or (0, 0))[0] + self._unpadded_input(layer)[1][0]
        reach = (layer.kernel[0] - 1) * (layer.dilation or (1, 1))[0] + 1
        below = (layer.output[1] - 1) * layer.stride[0] + reach - before[1] - top
        # Symmetric padding is given as it is, even if the last window does not reach its last rows.
        symmetric = layer.output[1] == (before[1] + 2 * top - reach) // layer.stride[0] + 1
        return top, top if symmetric else max(0, below)

    def _border(self, layer: Layer, before: Shape) -> str:
        if len(before) != 3 or len(layer.output) != 3 or layer.padding is None:
            return ""
        marks: list[str] = []
        for side in (0, 1):
            top, size, output = (
                layer.padding[side] + self._unpadded_input(layer)[1][side],
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
    """Format the padding along one axis (see `Word.border`), from the padding before and the input and output sizes."""
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
