"""The picture of one number of a convolution: the channels that add most, each a patch times a kernel."""

from __future__ import annotations

import numpy as np

from convatlas.anatomy.looking.pixel import Channel, Grid, Pixel
from convatlas.pictures.picture import Picture
from convatlas.pictures.pixels import diverging
from convatlas.pictures.shapes import GREY, INK, PAPER, Box, Shape, Text
from convatlas.pictures.text import text_width, wrapped

MOST, MARGIN, CELL, WRITTEN = 8, 20.0, 34.0, 5
"""Channels that are drawn; around all; a cell with a number in it, which kernels up to so many rows have."""


def drawn(pixel: Pixel, told: str = "") -> Picture:
    """The picture; `told` stands below."""
    order = sorted(pixel.channels, key=lambda one: (-abs(one.total), one.number))
    shown, rest = order[:MOST], order[MOST:]
    rows, columns = len(shown[0].patch), len(shown[0].patch[0])
    cell = CELL if max(rows, columns) <= WRITTEN else max(4.0, CELL * WRITTEN / max(rows, columns))
    sizes = [
        max((abs(value) for one in shown for row in grid(one) for value in row), default=1.0) or 1.0
        for grid in (_patch, _kernel)
    ]
    step = max(rows * cell, 20.0) + 22
    left, top = MARGIN + 74, 92.0
    title = f"{pixel.layer}: map {pixel.channel}, row {pixel.row}, column {pixel.column}"
    shapes: list[Shape] = [Text(MARGIN, 36, title, 16, True)]
    middle, result = left + columns * cell + 34, left + 2 * columns * cell + 68
    for text, x in (
        ("patch", left + columns * cell / 2),
        ("kernel", middle + columns * cell / 2),
        ("adds", result + 22),
    ):
        shapes.append(Text(x, top - 12, text, 10, True, "middle"))
    for at, one in enumerate(shown):
        y = top + step * at
        level = y + rows * cell / 2 + 4
        shapes.append(Text(left - 12, level, f"channel {one.number}", 10, anchor="end", fill=GREY))
        shapes += _cells(one.patch, left, y, cell, sizes[0])
        shapes.append(Text(middle - 17, level, "×", 14, anchor="middle"))
        shapes += _cells(one.kernel, middle, y, cell, sizes[1])
        shapes.append(Text(result - 17, level, "=", 14, anchor="middle"))
        shapes.append(Text(result, level, _number(one.total), 11))
    y = top + step * len(shown)
    sums = [(f"{len(rest)} more channels", sum(one.total for one in rest))] if rest else []
    sums += [("bias", pixel.bias), ("sum, in float64", pixel.total), ("the layer gives", pixel.given)]
    for at, (name, value) in enumerate(sums):
        shapes.append(Text(result - 12, y + 10 + 17 * at, name, 11, at >= len(sums) - 2, "end"))
        shapes.append(Text(result, y + 10 + 17 * at, _number(value, at >= len(sums) - 2), 11, at >= len(sums) - 2))
    width = result + text_width("-0.12345678901", 11, True) + MARGIN
    width = max(width, text_width(title, 16, True) + 2 * MARGIN)
    group = f" of its group of {len(pixel.channels)}" if pixel.groups > 1 else ""
    text = (
        f"The channels{group} that add most, each cell of the patch times that of the kernel: blue below 0, red above."
    )
    lines = wrapped(f"{text} {told}".strip(), width - 2 * MARGIN, 10)
    bottom = y + 10 + 17 * len(sums) + 12
    shapes += [Text(MARGIN, bottom + 14 * at, line, 10, fill=GREY) for at, line in enumerate(lines)]
    height = bottom + 14 * len(lines) + 6
    return Picture(width, height, (Box(0, 0, width, height, PAPER), *shapes), title, str(pixel))


def _patch(one: Channel) -> Grid:
    return one.patch


def _kernel(one: Channel) -> Grid:
    return one.kernel


def _cells(grid: Grid, x: float, y: float, cell: float, size: float) -> list[Shape]:
    """Squares in the colours of their numbers, with the numbers where they have room."""
    colours = diverging(np.clip(np.array(grid) / size, -1, 1))
    shapes: list[Shape] = []
    for row, values in enumerate(grid):
        for column, value in enumerate(values):
            red, green, blue = colours[row, column]
            fill = f"#{red:02x}{green:02x}{blue:02x}"
            left, top = x + column * cell, y + row * cell
            shapes.append(Box(left, top, cell, cell, fill, GREY))
            if cell == CELL:
                dark = abs(value) > 0.6 * size
                text = _number(value)
                shapes.append(
                    Text(left + cell / 2, top + cell / 2 + 3, text, 8, anchor="middle", fill="#ffffff" if dark else INK)
                )
    return shapes


def _number(value: float, exact: bool = False) -> str:
    """A number in nine digits, or in three at most: as many as six characters, the width of a cell, hold."""
    texts = [
        format(value, form).replace("e-0", "e-").replace("e+0", "e") for form in (".9g", ".3g", ".2g", ".1g", ".0e")
    ]
    return texts[0] if exact else next((text for text in texts[1:] if len(text) <= 6), texts[-1])
