"""Maps and kernels of a layer, as grids of small pictures."""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.anatomy.measure.activations import activations
from convatlas.anatomy.measure.find import convolves, find, gives_maps
from convatlas.anatomy.measure.macs import argument
from convatlas.anatomy.measure.tracer import Operation, trace
from convatlas.base.errors import ConvAtlasError
from convatlas.pictures.picture import Picture
from convatlas.pictures.pixels import as_numpy, diverging, png, shaded
from convatlas.pictures.shapes import GREY, INK, PAPER, Box, Image, Shape, Text
from convatlas.pictures.text import text_width, wrapped

MOST, TILE, MARGIN = 256, 64.0, 20.0
"""Tiles of a grid at most; the longer side of one, and around all."""


def maps(net: nn.Module, x: Tensor, layer: str, told: str = "") -> Picture:
    """The feature maps of a layer for an input (1, C, H, W), each scaled by itself; `told` stands below.

    Raises:
        UnknownName: No such layer.
        ConvAtlasError: It gives no maps.
    """
    number, operation = find(trace(net, x), layer, gives_maps, "layer that gives maps")
    values = as_numpy(activations(net, x, [number + 1])[number + 1])[0]  # (C, H, W)
    signed = bool((values < 0).any())
    tiles = [shaded(one) for one in values[:MOST]]
    scale = "blue below 0, white at 0, red above" if signed else "black at 0, white at its maximum"
    shown = f"The first {MOST} of {len(values)} maps" if len(values) > MOST else f"{len(values)} maps"
    text = f"{shown} of {values.shape[1]}×{values.shape[2]}, each on its own scale: {scale}."
    return _grid(f"Maps of {operation.path}", tiles, text, told)


def filters(net: nn.Module, x: Tensor, layer: str | None = None, told: str = "") -> Picture:
    """The kernels of a convolution, of the first if no layer is said; in colour if they read three channels.

    Raises:
        UnknownName: No such layer.
        ConvAtlasError: It is not a convolution, or reads too many channels to be shown (more than 16).
    """
    operations = trace(net, x)
    if layer is None:
        operation = _first(operations)
    else:
        _, operation = find(operations, layer, convolves, "2-d convolution")
    call = next(call for call in operation.calls if call.name == "conv2d")
    weight = as_numpy(argument(call, 1, "weight"))  # (K, C, k, k)
    kernels, channels = weight.shape[:2]
    size = float(np.abs(weight).max()) or 1.0
    if channels == 3:
        tiles = [np.rint(127.5 + 127.5 * one.transpose(1, 2, 0) / size).astype(np.uint8) for one in weight[:MOST]]
        text = f"{kernels} kernels of {weight.shape[2]}×{weight.shape[3]}×3 as colours; grey is 0."
    elif channels <= 16:
        many = max(1, MOST // channels)
        tiles = [diverging(one / size) for kernel in weight[:many] for one in kernel]
        shown = f"The first {many} of {kernels}" if many < kernels else f"{kernels}"
        each = f", one for each of {channels} channels in a row" if channels > 1 else ""
        text = f"{shown} kernels of {weight.shape[2]}×{weight.shape[3]}{each}: blue below 0, red above."
    else:
        raise ConvAtlasError(f"{operation.path} reads {channels} channels; kernels of up to 16 can be shown")
    return _grid(f"Kernels of {operation.path}", tiles, text, told, columns=channels if 3 < channels <= 16 else None)


def _first(operations: list[Operation]) -> Operation:
    found = next((operation for operation in operations if convolves(operation)), None)
    if found is None:
        raise ConvAtlasError("the net has no 2-d convolution")
    return found


def _grid(title: str, tiles: list[NDArray[np.uint8]], text: str, told: str, columns: int | None = None) -> Picture:
    """Tiles in rows, numbered from 0."""
    columns = columns or max(6, ceil(sqrt(len(tiles))))
    high, wide = (TILE * side / max(tiles[0].shape[:2]) for side in tiles[0].shape[:2])
    width = max(columns * (wide + 6), 420.0, text_width(title, 16, True)) + 2 * MARGIN
    shapes: list[Shape] = []
    top = 56.0
    for number, tile in enumerate(tiles):
        x, y = MARGIN + (wide + 6) * (number % columns), top + (high + 14) * (number // columns)
        shapes.append(Image(x, y, wide, high, png(tile)))
        shapes.append(Box(x, y, wide, high, "none", INK))
        shapes.append(Text(x, y + high + 9, str(number), 7, fill=GREY))
    bottom = top + (high + 14) * ceil(len(tiles) / columns) + 8
    lines = wrapped(f"{text} {told}".strip(), width - 2 * MARGIN, 10)
    shapes += [Text(MARGIN, bottom + 12 + 14 * at, line, 10, fill=GREY) for at, line in enumerate(lines)]
    height = bottom + 14 * len(lines) + 16
    heading = Text(MARGIN, 36, title, 16, True)
    return Picture(width, height, (Box(0, 0, width, height, PAPER), heading, *shapes), title, text)
