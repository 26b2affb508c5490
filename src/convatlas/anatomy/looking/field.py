"""The receptive field of a unit, drawn over a photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from convatlas.anatomy.measure.find import find, gives_maps, unit
from convatlas.anatomy.measure.measure import operations_of
from convatlas.anatomy.measure.receptive_field import Reach, reach
from convatlas.pictures.picture import Picture
from convatlas.pictures.pixels import png
from convatlas.pictures.shapes import GREY, PAPER, Box, Disc, Image, Shape, Text
from convatlas.pictures.text import text_width, wrapped

SIDE, MARGIN = 520.0, 20.0
"""Of the longer side of the photo, and around it, in the picture."""

MARK = "#e8590c"


def reach_of(
    net: nn.Module, shape: tuple[int, ...], layer: str, row: int | None = None, column: int | None = None
) -> tuple[Reach, str, tuple[int, int], tuple[int, ...]]:
    """What a unit of a layer sees of an input of `shape` (C, H, W).

    Args:
        net: Any module; on the meta device too.
        shape: Of its input.
        layer: Its name or number, or a module that holds it.
        row: Of the unit in the layer's map, from 0; the middle one if not said.
        column: Likewise.

    Returns:
        What it sees, the layer's own name, the unit's row and column, and the shape of the map (C, H, W).

    Raises:
        UnknownName: No such layer.
        ConvAtlasError: It gives no map, or has no such unit.
    """
    operations = operations_of(net, shape)
    at, operation = find(operations, layer, gives_maps, "layer that gives maps")
    chosen = unit(operation.shapes[0], row, column)
    return reach(operations, at, *chosen, (shape[1], shape[2])), operation.path, chosen, operation.shapes[0][1:]


def field(
    net: nn.Module,
    photo: NDArray[np.uint8],
    channels: int,
    layer: str,
    row: int | None = None,
    column: int | None = None,
    told: str = "",
) -> Picture:
    """A photo (H, W, 3) of the size of the net's input with the field of a unit on it; `told` stands below.

    Raises:
        UnknownName: No such layer.
        ConvAtlasError: It gives no map, or has no such unit.
    """
    height, width = photo.shape[:2]
    found, name, place, shape = reach_of(net, (channels, height, width), layer, row, column)
    scale = SIDE / max(height, width)
    left, top = MARGIN, 62.0
    x1, x2 = (left + scale * edge for edge in (found.columns[0], found.columns[1] + 1))
    y1, y2 = (top + scale * edge for edge in (found.rows[0], found.rows[1] + 1))
    right, bottom = left + scale * width, top + scale * height
    shade = [
        (left, top, right - left, y1 - top),
        (left, y2, right - left, bottom - y2),
        (left, y1, x1 - left, y2 - y1),
        (x2, y1, right - x2, y2 - y1),
    ]
    sides = found.rows[1] - found.rows[0] + 1, found.columns[1] - found.columns[0] + 1
    text = (
        f"Unit {place[0]},{place[1]} of {shape[0]} maps of {shape[1]}×{shape[2]} sees {sides[0]}×{sides[1]} pixels: "
        f"rows {found.rows[0]} to {found.rows[1]} of {height}, "
        f"columns {found.columns[0]} to {found.columns[1]} of {width}."
    )
    text += " Through a gate it sees the whole photo too." if found.whole else ""
    shapes: list[Shape] = [Image(left, top, right - left, bottom - top, png(photo))]
    shapes += [Box(*area, fill="#101418", opacity=0.55) for area in shade if area[2] > 0 and area[3] > 0]
    shapes.append(Box(x1, y1, x2 - x1, y2 - y1, "none", MARK))
    if found.rows[0] and found.columns[0] and found.rows[1] < height - 1 and found.columns[1] < width - 1:
        # Of a field that the photo's border may have cut the middle is not where the unit looks.
        shapes.append(Disc((x1 + x2) / 2, (y1 + y2) / 2, 3, MARK, PAPER))
    title = f"What {name} sees"
    wide = max(right - left, 360, text_width(title, 16, True))
    lines = wrapped(f"{text} {told}".strip(), wide, 10)
    shapes += [Text(left, bottom + 20 + 14 * at, line, 10, fill=GREY) for at, line in enumerate(lines)]
    wide += 2 * MARGIN
    heading = Text(left, 38, title, 16, True)
    high = bottom + 20 + 14 * len(lines) + 8
    return Picture(wide, high, (Box(0, 0, wide, high, PAPER), heading, *shapes), title, text)
