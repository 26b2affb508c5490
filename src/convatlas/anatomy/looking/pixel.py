"""Take apart how a convolution computes one number: a patch times a kernel, summed, plus a bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.anatomy.measure.find import find, runs_conv2d
from convatlas.anatomy.measure.tracing.calls import Call, Operation, argument
from convatlas.anatomy.measure.tracing.trace import trace
from convatlas.base.errors import ConvAtlasError
from convatlas.base.records import Record
from convatlas.pictures.pixels import as_numpy

Grid = tuple[tuple[float, ...], ...]
"""Rows of numbers."""


@dataclass(frozen=True)
class Channel:
    """Contribution of one input channel.

    Attributes:
        number: Channel of the input, from 0.
        patch: Input values that the kernel meets.
        kernel: Weights.
        total: Sum of the products of patch and kernel.
    """

    number: int
    patch: Grid
    kernel: Grid
    total: float


@dataclass(frozen=True)
class Pixel(Record):
    """How a convolution computes one number of its output.

    Attributes:
        layer: Name of the convolution.
        channel: Channel of the output, from 0.
        row: Row of the output, from 0.
        column: Column of the output, from 0.
        groups: Groups of the convolution; only the input channels of one group contribute.
        channels: Contribution of each of those input channels.
        bias: Bias of the output channel; 0 without one.
        total: Sum of contributions and bias, in float64.
        output: The number that the layer itself computed.
    """

    layer: str
    channel: int
    row: int
    column: int
    groups: int
    channels: tuple[Channel, ...]
    bias: float
    total: float
    output: float

    def __str__(self) -> str:
        return (
            f"{self.layer}, map {self.channel}, row {self.row}, column {self.column}: {len(self.channels)} channels "
            f"add {self.total - self.bias:.6g}, the bias {self.bias:.6g}: {self.total:.6g}; "
            f"the layer gives {self.output:.6g}"
        )


def explain_pixel(net: nn.Module, x: Tensor, layer: str, channel: int, row: int, column: int) -> Pixel:
    """Take apart one number that a 2-d convolution computes.

    The convolution may be grouped, dilated or padded in any mode, and a module or a function that a module calls.

    Args:
        net: Any module.
        x: Its input, (1, C, H, W); in float64 the sum equals the layer's output up to rounding.
        layer: Name or number of the convolution, or name of a module that contains it.
        channel: Channel of its output, from 0.
        row: Row of its output, from 0.
        column: Column of its output, from 0.

    Raises:
        UnknownName: No such layer.
        ConvAtlasError: The layer is not a 2-d convolution, or its output has no such place.
    """
    index, _ = find(trace(net, x), layer, runs_conv2d, "2-d convolution")
    operation = trace(net, x, keep="values", only={index})[index]
    call = next(call for call in reversed(operation.calls) if call.name == "conv2d")
    shape = call.output.shape[-3:]
    for axis, value, size in zip(("channels", "rows", "columns"), (channel, row, column), shape, strict=True):
        if not 0 <= value < size:
            raise ConvAtlasError(f"the map of {operation.path} has {axis} 0 to {size - 1}; got {value}")
    return _explain(operation, call, channel, row, column)


def _explain(operation: Operation, call: Call, channel: int, row: int, column: int) -> Pixel:
    weight, groups = argument(call, 1, "weight").detach(), int(argument(call, 6, "groups", 1))
    bias = argument(call, 2, "bias", None)
    strides, steps = (_pair(argument(call, place, name, 1)) for place, name in ((3, "stride"), (5, "dilation")))
    kernel = weight.shape[2:]
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, steps, strict=True)]
    padded = _pad(argument(call, 0, "input"), argument(call, 4, "padding", 0), reach)
    per_group = weight.shape[1]
    first = channel // (weight.shape[0] // groups) * per_group
    y, x = row * strides[0], column * strides[1]
    maps = padded if padded.ndim == 3 else padded[0]
    patch = maps[first : first + per_group, y : y + reach[0] : steps[0], x : x + reach[1] : steps[1]]
    values, kernels = as_numpy(patch), as_numpy(weight[channel])
    channels = tuple(
        Channel(number, _grid(plane), _grid(taps), float((plane * taps).sum()))
        for number, (plane, taps) in enumerate(zip(values, kernels, strict=True), first)
    )
    bias_value = 0.0 if bias is None else float(bias.detach()[channel])
    computed = call.output.reshape(-1, *call.output.shape[-3:])[0, channel, row, column]
    total = float((values * kernels).sum()) + bias_value
    return Pixel(operation.path, channel, row, column, groups, channels, bias_value, total, float(computed.detach()))


def _pad(x: Tensor, padding: Any, reach: Sequence[int]) -> Tensor:
    """Pad an input (..., H, W) with zeros, as the call itself does."""
    if padding == "same":
        # PyTorch puts the odd pixel below and to the right.
        sides = [((size - 1) // 2, size - 1 - (size - 1) // 2) for size in reach]
    elif isinstance(padding, str):
        sides = [(0, 0), (0, 0)]
    else:
        sides = [(side, side) for side in _pair(padding)]
    return F.pad(x.detach(), (*sides[1], *sides[0]))


def _pair(value: Any) -> tuple[int, int]:
    values = [value] if isinstance(value, int) else [int(part) for part in value]
    return values[0], values[-1]


def _grid(values: Any) -> Grid:
    return tuple(tuple(map(float, row)) for row in values)
