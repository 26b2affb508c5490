"""Draw how a convolution computes one number: the channels that add most, each a patch times a kernel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convatlas.anatomy.looking.field import marked_photo, pixels_text
from convatlas.anatomy.looking.pixel import Channel, Grid, Pixel
from convatlas.anatomy.measure.receptive_field import Reach
from convatlas.pictures.picture import Picture
from convatlas.pictures.pixels import diverging
from convatlas.pictures.shapes import GREY, INK, PAPER, Box, Shape, Text
from convatlas.pictures.text import text_width, wrapped

MAX_CHANNELS, MARGIN = 8, 20.0
"""Maximum number of channels drawn, and the margin around the picture."""

CELL, MAX_WRITTEN = 34.0, 5
"""Side of a cell that shows its number, and the largest kernel whose cells do."""


PHOTO = 220.0
"""Length of the longer side of the photo beside the sum."""


def draw_pixel(
    pixel: Pixel, caption: str = "", photo: NDArray[np.uint8] | None = None, reached: Reach | None = None
) -> Picture:
    """Draw the channels that add most, the bias and the sum.

    Args:
        pixel: How the number is computed.
        caption: Text below the picture, after the description.
        photo: The photo (H, W, 3) that the net sees, to be drawn beside the sum.
        reached: The pixels of it that the number depends on.
    """
    order = sorted(pixel.channels, key=lambda channel: (-abs(channel.total), channel.number))
    shown, rest = order[:MAX_CHANNELS], order[MAX_CHANNELS:]
    rows, columns = len(shown[0].patch), len(shown[0].patch[0])
    cell = CELL if max(rows, columns) <= MAX_WRITTEN else max(4.0, CELL * MAX_WRITTEN / max(rows, columns))
    sizes = [
        max((abs(value) for channel in shown for row in grid_of(channel) for value in row), default=1.0) or 1.0
        for grid_of in (_patch, _kernel)
    ]
    step = max(rows * cell, 20.0) + 22
    beside = photo is not None and reached is not None
    x0, y0 = MARGIN + 74 + (PHOTO + 24 if beside else 0), 92.0
    title = f"{pixel.layer}: map {pixel.channel}, row {pixel.row}, column {pixel.column}"
    shapes: list[Shape] = [Text(MARGIN, 36, title, 16, True)]
    x1, x2 = x0 + columns * cell + 34, x0 + 2 * columns * cell + 68
    for text, x in (
        ("patch", x0 + columns * cell / 2),
        ("kernel", x1 + columns * cell / 2),
        ("adds", x2 + 22),
    ):
        shapes.append(Text(x, y0 - 12, text, 10, True, "middle"))
    for index, channel in enumerate(shown):
        y = y0 + step * index
        level = y + rows * cell / 2 + 4
        shapes.append(Text(x0 - 12, level, f"channel {channel.number}", 10, anchor="end", fill=GREY))
        shapes += _cells(channel.patch, x0, y, cell, sizes[0])
        shapes.append(Text(x1 - 17, level, "×", 14, anchor="middle"))
        shapes += _cells(channel.kernel, x1, y, cell, sizes[1])
        shapes.append(Text(x2 - 17, level, "=", 14, anchor="middle"))
        shapes.append(Text(x2, level, _number(channel.total), 11))
    y = y0 + step * len(shown)
    sums = [(f"{len(rest)} more channels", sum(channel.total for channel in rest))] if rest else []
    sums += [("bias", pixel.bias), ("sum, in float64", pixel.total), ("the layer gives", pixel.output)]
    for index, (name, value) in enumerate(sums):
        shapes.append(Text(x2 - 12, y + 10 + 17 * index, name, 11, index >= len(sums) - 2, "end"))
        shapes.append(Text(x2, y + 10 + 17 * index, _number(value, index >= len(sums) - 2), 11, index >= len(sums) - 2))
    bottom = y + 10 + 17 * len(sums) + 12
    if photo is not None and reached is not None:
        shapes.append(Text(MARGIN + PHOTO / 2, y0 - 12, "photo", 10, True, "middle"))
        marked, (_, low) = marked_photo(photo, reached, MARGIN, y0, PHOTO)
        shapes += marked
        for line in wrapped(f"It depends on {pixels_text(reached, *photo.shape[:2])}.", PHOTO, 10):
            low += 14
            shapes.append(Text(MARGIN, low, line, 10, fill=GREY))
        bottom = max(bottom, low + 24)
    width = x2 + text_width("-0.12345678901", 11, True) + MARGIN
    width = max(width, text_width(title, 16, True) + 2 * MARGIN)
    group = f" of its group of {len(pixel.channels)}" if pixel.groups > 1 else ""
    text = (
        f"The channels{group} that add most, each cell of the patch times that of the kernel: blue below 0, red above."
    )
    lines = wrapped(f"{text} {caption}".strip(), width - 2 * MARGIN, 10)
    shapes += [Text(MARGIN, bottom + 14 * index, line, 10, fill=GREY) for index, line in enumerate(lines)]
    height = bottom + 14 * len(lines) + 6
    return Picture(width, height, (Box(0, 0, width, height, PAPER), *shapes), title, str(pixel))


def _patch(channel: Channel) -> Grid:
    return channel.patch


def _kernel(channel: Channel) -> Grid:
    return channel.kernel


def _cells(grid: Grid, x: float, y: float, cell: float, size: float) -> list[Shape]:
    """Draw each number as a square in its colour, with its digits where there is room."""
    colours = diverging(np.clip(np.array(grid) / size, -1, 1))
    shapes: list[Shape] = []
    for row, values in enumerate(grid):
        for column, value in enumerate(values):
            red, green, blue = colours[row, column]
            fill = f"#{red:02x}{green:02x}{blue:02x}"
            cell_x, cell_y = x + column * cell, y + row * cell
            shapes.append(Box(cell_x, cell_y, cell, cell, fill, GREY))
            if cell == CELL:
                dark = abs(value) > 0.6 * size
                text = _number(value)
                shapes.append(
                    Text(
                        cell_x + cell / 2,
                        cell_y + cell / 2 + 3,
                        text,
                        8,
                        anchor="middle",
                        fill="#ffffff" if dark else INK,
                    )
                )
    return shapes


def _number(value: float, exact: bool = False) -> str:
    """Format a number with nine digits if `exact`, else with up to three: as many as fit in a cell, six characters."""
    texts = [
        format(value, form).replace("e-0", "e-").replace("e+0", "e") for form in (".9g", ".3g", ".2g", ".1g", ".0e")
    ]
    return texts[0] if exact else next((text for text in texts[1:] if len(text) <= 6), texts[-1])
