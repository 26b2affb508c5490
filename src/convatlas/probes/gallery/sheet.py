"""Draw pictures with captions as one sheet, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convatlas.pictures.picture import Picture
from convatlas.pictures.pixels import png
from convatlas.pictures.shapes import GREY, INK, PAPER, Box, Image, Shape, Text
from convatlas.pictures.text import text_width, wrapped

SIDE, GAP, MARGIN, LINE = 168.0, 12.0, 24.0, 13.0
"""Length of a picture's longer side, space between pictures, margin around them, and height of a line of text."""

COLUMNS = 8
"""Most pictures side by side."""

SMALL = 10.0
"""Size of captions."""


@dataclass(frozen=True)
class Tile:
    """A picture of a sheet: its pixels (h, w, 3), its caption, and the heading of its row."""

    pixels: NDArray[np.uint8]
    caption: str = ""
    row: str = ""


def sheet(title: str, tiles: Sequence[Tile], text: str = "") -> Picture:
    """Return a picture of all tiles, those of a row side by side, with a title above and a text below."""
    rows = _rows(tiles)
    broadest = max((len(row) for row in rows), default=1)
    wide = max(broadest * (SIDE + GAP) - GAP, text_width(title, 16, True), 420.0)
    shapes: list[Shape] = [Text(MARGIN, 38, title, 16, True)]
    top, heading = 58.0, ""
    for row in rows:
        if row[0].row and row[0].row != heading:
            shapes.append(Text(MARGIN, top + 12, row[0].row, 12, True))
            top += 22
        heading = row[0].row
        captions = [wrapped(tile.caption, SIDE, SMALL) if tile.caption else [] for tile in row]
        sides = [_size(tile) for tile in row]
        tallest = max(height for height, _ in sides)
        for number, (tile, (height, width), lines) in enumerate(zip(row, sides, captions, strict=True)):
            x = MARGIN + number * (SIDE + GAP)
            shapes.append(Image(x, top, width, height, png(tile.pixels)))
            shapes.append(Box(x, top, width, height, "none", INK))
            shapes += [
                Text(x, top + tallest + LINE * (place + 1), line, SMALL, fill=GREY) for place, line in enumerate(lines)
            ]
        top += tallest + LINE * max(len(lines) for lines in captions) + 18
    lines = wrapped(text, wide, SMALL) if text else []
    shapes += [Text(MARGIN, top + LINE * (number + 1), line, SMALL, fill=GREY) for number, line in enumerate(lines)]
    width, height = wide + 2 * MARGIN, top + LINE * len(lines) + MARGIN
    description = "; ".join(tile.caption for tile in tiles if tile.caption)
    return Picture(width, height, (Box(0, 0, width, height, PAPER), *shapes), title, description)


def _rows(tiles: Sequence[Tile]) -> list[list[Tile]]:
    """Tiles by row: a new one begins with another heading, and where one is full."""
    rows: list[list[Tile]] = []
    for tile in tiles:
        if not rows or rows[-1][0].row != tile.row or len(rows[-1]) == COLUMNS:
            rows.append([])
        rows[-1].append(tile)
    return rows


def _size(tile: Tile) -> tuple[float, float]:
    """Height and width of a tile on the sheet."""
    height, width = tile.pixels.shape[:2]
    scale = SIDE / max(height, width)
    return height * scale, width * scale
