"""Draw the feature maps or the kernels of a layer as a grid of small pictures."""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.anatomy.measure.activations import activations
from convatlas.anatomy.measure.find import find, outputs_maps, runs_conv2d
from convatlas.anatomy.measure.tracing.calls import Operation, argument
from convatlas.anatomy.measure.tracing.trace import trace
from convatlas.base.errors import ConvAtlasError
from convatlas.pictures.picture import Picture
from convatlas.pictures.pixels import as_numpy, diverging, png, shaded
from convatlas.pictures.shapes import GREY, INK, PAPER, Box, Image, Shape, Text
from convatlas.pictures.text import text_width, wrapped

MAX_TILES, TILE, MARGIN = 256, 64.0, 20.0
"""Maximum number of tiles in a grid, length of a tile's longer side, and the margin around the grid."""


def draw_maps(net: nn.Module, x: Tensor, layer: str, caption: str = "") -> Picture:
    """Draw the feature maps of a layer, each on a scale of its own.

    Args:
        net: Any module.
        x: Its input, (1, C, H, W).
        layer: Name or number of the layer, or name of a module that contains it.
        caption: Text below the picture, after the maps' own description.

    Raises:
        UnknownName: No such layer.
        ConvAtlasError: The layer does not output maps.
    """
    index, operation = find(trace(net, x), layer, outputs_maps, "layer that outputs maps")
    values = as_numpy(activations(net, x, [index + 1])[index + 1])[0]  # (C, H, W)
    signed = bool((values < 0).any())
    tiles = [shaded(feature_map) for feature_map in values[:MAX_TILES]]
    scale = "blue below 0, white at 0, red above" if signed else "black at 0, white at its maximum"
    shown = f"The first {MAX_TILES} of {len(values)} maps" if len(values) > MAX_TILES else f"{len(values)} maps"
    text = f"{shown} of {values.shape[1]}×{values.shape[2]}, each on its own scale: {scale}."
    return _grid(f"Maps of {operation.path}", tiles, text, caption)


def draw_filters(net: nn.Module, x: Tensor, layer: str | None = None, caption: str = "") -> Picture:
    """Draw the kernels of a 2-d convolution, in colour if they read three channels.

    Args:
        net: Any module.
        x: Its input, (1, C, H, W).
        layer: Name or number of the layer, or name of a module that contains it; by default the first 2-d convolution.
        caption: Text below the picture, after the kernels' own description.

    Raises:
        UnknownName: No such layer.
        ConvAtlasError: The layer is not a 2-d convolution, or reads more than 16 channels, too many to be shown.
    """
    operations = trace(net, x)
    if layer is None:
        operation = _first_conv2d(operations)
    else:
        _, operation = find(operations, layer, runs_conv2d, "2-d convolution")
    call = next(call for call in operation.calls if call.name == "conv2d")
    weight = as_numpy(argument(call, 1, "weight"))  # (K, C, k, k)
    kernels, channels = weight.shape[:2]
    size = float(np.abs(weight).max()) or 1.0
    if channels == 3:
        tiles = [
            np.rint(127.5 + 127.5 * kernel.transpose(1, 2, 0) / size).astype(np.uint8) for kernel in weight[:MAX_TILES]
        ]
        text = f"{kernels} kernels of {weight.shape[2]}×{weight.shape[3]}×3 as colours; grey is 0."
    elif channels <= 16:
        shown = max(1, MAX_TILES // channels)
        tiles = [diverging(plane / size) for kernel in weight[:shown] for plane in kernel]
        number = f"The first {shown} of {kernels}" if shown < kernels else f"{kernels}"
        each = f", one for each of {channels} channels in a row" if channels > 1 else ""
        text = f"{number} kernels of {weight.shape[2]}×{weight.shape[3]}{each}: blue below 0, red above."
    else:
        raise ConvAtlasError(f"{operation.path} reads {channels} channels; kernels of up to 16 can be shown")
    return _grid(f"Kernels of {operation.path}", tiles, text, caption, columns=channels if 3 < channels <= 16 else None)


def _first_conv2d(operations: list[Operation]) -> Operation:
    for operation in operations:
        if runs_conv2d(operation):
            return operation
    raise ConvAtlasError("the net has no 2-d convolution")


def _grid(title: str, tiles: list[NDArray[np.uint8]], text: str, caption: str, columns: int | None = None) -> Picture:
    """Draw tiles in rows, numbered from 0."""
    columns = columns or max(6, ceil(sqrt(len(tiles))))
    tile_height, tile_width = (TILE * side / max(tiles[0].shape[:2]) for side in tiles[0].shape[:2])
    width = max(columns * (tile_width + 6), 420.0, text_width(title, 16, True)) + 2 * MARGIN
    shapes: list[Shape] = []
    top = 56.0
    for number, tile in enumerate(tiles):
        x, y = MARGIN + (tile_width + 6) * (number % columns), top + (tile_height + 14) * (number // columns)
        shapes.append(Image(x, y, tile_width, tile_height, png(tile)))
        shapes.append(Box(x, y, tile_width, tile_height, "none", INK))
        shapes.append(Text(x, y + tile_height + 9, str(number), 7, fill=GREY))
    bottom = top + (tile_height + 14) * ceil(len(tiles) / columns) + 8
    lines = wrapped(f"{text} {caption}".strip(), width - 2 * MARGIN, 10)
    shapes += [Text(MARGIN, bottom + 12 + 14 * number, line, 10, fill=GREY) for number, line in enumerate(lines)]
    height = bottom + 14 * len(lines) + 16
    heading = Text(MARGIN, 36, title, 16, True)
    return Picture(width, height, (Box(0, 0, width, height, PAPER), heading, *shapes), title, text)
