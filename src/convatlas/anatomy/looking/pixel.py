"""How one number of a convolution's map comes about: a patch times a kernel, summed, and a bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.anatomy.measure.find import convolves, find
from convatlas.anatomy.measure.macs import argument
from convatlas.anatomy.measure.tracer import Call, Operation, trace
from convatlas.base.errors import ConvAtlasError
from convatlas.base.records import Record
from convatlas.pictures.pixels import as_numpy

Grid = tuple[tuple[float, ...], ...]
"""Rows of numbers."""


@dataclass(frozen=True)
class Channel:
    """What one input channel adds: its patch, its kernel, the sum of their products."""

    number: int
    patch: Grid
    kernel: Grid
    total: float


@dataclass(frozen=True)
class Pixel(Record):
    """One number of a map, taken apart.

    Attributes:
        layer: The convolution's name.
        channel: Of the map, from 0; `row` and `column` likewise.
        row: See `channel`.
        column: See `channel`.
        groups: Of the convolution: it reads the channels of its own group alone.
        channels: What each of those adds.
        bias: What is added to their sum.
        total: The sum, in float64.
        given: What the layer gave there.
    """

    layer: str
    channel: int
    row: int
    column: int
    groups: int
    channels: tuple[Channel, ...]
    bias: float
    total: float
    given: float

    def __str__(self) -> str:
        return (
            f"{self.layer}, map {self.channel}, row {self.row}, column {self.column}: {len(self.channels)} channels "
            f"add {self.total - self.bias:.6g}, the bias {self.bias:.6g}: {self.total:.6g}; "
            f"the layer gives {self.given:.6g}"
        )


def pixel(net: nn.Module, x: Tensor, layer: str, channel: int, row: int, column: int) -> Pixel:
    """Take apart one number of a 2-d convolution's map, for an input (1, C, H, W).

    Any convolution of any net: grouped, dilated, whatever fills its border, a module or a function that a module calls.

    Args:
        net: Any module.
        x: Its input; in float64 the sum is what the layer gives to the last digits.
        layer: The convolution's name or number, or a module that holds it.
        channel: Of its map, from 0.
        row: Likewise.
        column: Likewise.

    Raises:
        UnknownName: No such layer.
        ConvAtlasError: It is not a 2-d convolution, or its map has no such place.
    """
    number, _ = find(trace(net, x), layer, convolves, "2-d convolution")
    operation = trace(net, x, keep="values", only={number})[number]
    call = next(call for call in reversed(operation.calls) if call.name == "conv2d")
    shape = call.output.shape[-3:]
    for what, value, size in zip(("channels", "rows", "columns"), (channel, row, column), shape, strict=True):
        if not 0 <= value < size:
            raise ConvAtlasError(f"the map of {operation.path} has {what} 0 to {size - 1}; got {value}")
    return _taken_apart(operation, call, channel, row, column)


def _taken_apart(operation: Operation, call: Call, channel: int, row: int, column: int) -> Pixel:
    weight, groups = argument(call, 1, "weight").detach(), int(argument(call, 6, "groups", 1))
    bias = argument(call, 2, "bias", None)
    strides, steps = (_pair(argument(call, place, name, 1)) for place, name in ((3, "stride"), (5, "dilation")))
    kernel = weight.shape[2:]
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, steps, strict=True)]
    padded = _bordered(argument(call, 0, "input"), argument(call, 4, "padding", 0), reach)
    per_group = weight.shape[1]
    first = channel // (weight.shape[0] // groups) * per_group
    top, left = row * strides[0], column * strides[1]
    maps = padded if padded.ndim == 3 else padded[0]
    patch = maps[first : first + per_group, top : top + reach[0] : steps[0], left : left + reach[1] : steps[1]]
    values, kernels = as_numpy(patch), as_numpy(weight[channel])
    channels = tuple(
        Channel(first + at, _grid(one), _grid(other), float((one * other).sum()))
        for at, (one, other) in enumerate(zip(values, kernels, strict=True))
    )
    added = 0.0 if bias is None else float(bias.detach()[channel])
    given = call.output.reshape(-1, *call.output.shape[-3:])[0, channel, row, column]
    total = float((values * kernels).sum()) + added
    return Pixel(operation.path, channel, row, column, groups, channels, added, total, float(given.detach()))


def _bordered(given: Tensor, padding: Any, reach: Sequence[int]) -> Tensor:
    """The input with the border of zeros that the call itself adds."""
    if padding == "same":
        # As PyTorch has it: the odd pixel goes below and to the right.
        sides = [((size - 1) // 2, size - 1 - (size - 1) // 2) for size in reach]
    elif isinstance(padding, str):
        sides = [(0, 0), (0, 0)]
    else:
        sides = [(side, side) for side in _pair(padding)]
    return F.pad(given.detach(), (*sides[1], *sides[0]))


def _pair(value: Any) -> tuple[int, int]:
    values = [value] if isinstance(value, int) else [int(part) for part in value]
    return values[0], values[-1]


def _grid(values: Any) -> Grid:
    return tuple(tuple(map(float, row)) for row in values)
