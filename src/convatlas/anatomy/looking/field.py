"""Draw the receptive field of a unit over a photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from convatlas.anatomy.measure.find import find, outputs_maps, runs_conv2d, unit_at
from convatlas.anatomy.measure.receptive_field import Reach, reach
from convatlas.anatomy.measure.shape_trace import trace_inputs
from convatlas.nets.example_inputs import candidate_inputs
from convatlas.pictures.picture import Picture
from convatlas.pictures.pixels import png
from convatlas.pictures.shapes import GREY, PAPER, Box, Disc, Image, Point, Shape, Text
from convatlas.pictures.text import text_width, wrapped

SIDE, MARGIN = 520.0, 20.0
"""Length of the photo's longer side in the picture, and the margin around it."""

MARK = "#e8590c"


def reach_of(
    net: nn.Module, shape: tuple[int, ...], layer: str, row: int | None = None, column: int | None = None
) -> tuple[Reach, str, tuple[int, int], tuple[int, ...]]:
    """Find the pixels of an input that a unit of a layer sees.

    Args:
        net: Any module; it may be on the meta device.
        shape: Shape of the input, (C, H, W).
        layer: Name or number of the layer, or name of a module that contains it.
        row: Row of the unit in the layer's map, from 0; by default the middle row.
        column: Column of the unit in the layer's map, from 0; by default the middle column.

    Returns:
        The pixels, the layer's full name, the unit's (row, column), and the shape of the layer's maps, (C, H, W).

    Raises:
        UnknownName: No such layer.
        ConvAtlasError: The layer does not output maps, or has no such unit.
    """
    _, operations = trace_inputs(net, candidate_inputs(net, input_shape=shape))
    index, operation = find(operations, layer, outputs_maps, "layer that outputs maps")
    place = unit_at(operation.shapes[0], row, column)
    return reach(operations, index, *place, (shape[1], shape[2])), operation.path, place, operation.shapes[0][1:]


def reach_of_pixel(net: nn.Module, shape: tuple[int, ...], layer: str, row: int, column: int) -> Reach:
    """Find the pixels of an input of `shape` on which one number that a 2-d convolution computes depends.

    Raises:
        UnknownName: No such layer.
        ConvAtlasError: The layer is not a 2-d convolution, or has no such unit.
    """
    _, operations = trace_inputs(net, candidate_inputs(net, input_shape=shape))
    index, operation = find(operations, layer, runs_conv2d, "2-d convolution")
    return reach(operations, index, *unit_at(operation.shapes[0], row, column), (shape[1], shape[2]))


def draw_field(
    net: nn.Module,
    photo: NDArray[np.uint8],
    channels: int,
    layer: str,
    row: int | None = None,
    column: int | None = None,
    caption: str = "",
) -> Picture:
    """Draw a photo with the receptive field of a unit marked on it.

    Args:
        net: Any module; it may be on the meta device.
        photo: The photo (H, W, 3), of the height and width of the net's input.
        channels: Channels of the net's input.
        layer: Name or number of the layer, or name of a module that contains it.
        row: Row of the unit in the layer's map, from 0; by default the middle row.
        column: Column of the unit in the layer's map, from 0; by default the middle column.
        caption: Text below the picture, after the field's own description.

    Raises:
        UnknownName: No such layer.
        ConvAtlasError: The layer does not output maps, or has no such unit.
    """
    height, width = photo.shape[:2]
    reached, name, place, shape = reach_of(net, (channels, height, width), layer, row, column)
    x0, y0 = MARGIN, 62.0
    shapes, (x3, y3) = marked_photo(photo, reached, x0, y0, SIDE)
    sides = reached.rows[1] - reached.rows[0] + 1, reached.columns[1] - reached.columns[0] + 1
    text = (
        f"Unit {place[0]},{place[1]} of {shape[0]} maps of {shape[1]}×{shape[2]} sees {sides[0]}×{sides[1]} pixels: "
        f"{pixels_text(reached, height, width)}."
    )
    text += " Through a gate it sees the whole photo too." if reached.whole else ""
    title = f"What {name} sees"
    text_space = max(x3 - x0, 360, text_width(title, 16, True))
    lines = wrapped(f"{text} {caption}".strip(), text_space, 10)
    shapes += [Text(x0, y3 + 20 + 14 * number, line, 10, fill=GREY) for number, line in enumerate(lines)]
    total_width = text_space + 2 * MARGIN
    heading = Text(x0, 38, title, 16, True)
    total_height = y3 + 20 + 14 * len(lines) + 8
    background = Box(0, 0, total_width, total_height, PAPER)
    return Picture(total_width, total_height, (background, heading, *shapes), title, text)


def pixels_text(reached: Reach, height: int, width: int) -> str:
    """Return the rows and columns of a field in words."""
    rows, columns = reached.rows, reached.columns
    return f"rows {rows[0]} to {rows[1]} of {height}, columns {columns[0]} to {columns[1]} of {width}"


def marked_photo(
    photo: NDArray[np.uint8], reached: Reach, x0: float, y0: float, side: float
) -> tuple[list[Shape], Point]:
    """Draw a photo from (x0, y0) on, dark but for a receptive field.

    Args:
        photo: The photo (H, W, 3).
        reached: The pixels of the field.
        x0: Left of the photo in the picture.
        y0: Top of the photo in the picture.
        side: Length of its longer side.

    Returns:
        The shapes, and the lower right corner of the photo.
    """
    height, width = photo.shape[:2]
    scale = side / max(height, width)
    x1, x2 = (x0 + scale * edge for edge in (reached.columns[0], reached.columns[1] + 1))
    y1, y2 = (y0 + scale * edge for edge in (reached.rows[0], reached.rows[1] + 1))
    x3, y3 = x0 + scale * width, y0 + scale * height
    shade = [
        (x0, y0, x3 - x0, y1 - y0),
        (x0, y2, x3 - x0, y3 - y2),
        (x0, y1, x1 - x0, y2 - y1),
        (x2, y1, x3 - x2, y2 - y1),
    ]
    shapes: list[Shape] = [Image(x0, y0, x3 - x0, y3 - y0, png(photo))]
    # Pure black: any other shade would tint a grey photo.
    shapes += [Box(*area, fill="#000000", opacity=0.55) for area in shade if area[2] > 0 and area[3] > 0]
    shapes.append(Box(x1, y1, x2 - x1, y2 - y1, "none", MARK))
    if reached.rows[0] and reached.columns[0] and reached.rows[1] < height - 1 and reached.columns[1] < width - 1:
        # The middle of a field cut off by the photo's border is not the middle of what the unit sees.
        shapes.append(Disc((x1 + x2) / 2, (y1 + y2) / 2, 3, MARK, PAPER))
    return shapes, (x3, y3)
