"""Draw the legend of colours: a swatch for each locus, with its meaning."""

from __future__ import annotations

from collections.abc import Collection

from convatlas.anatomy.drawing.layout.elements import SMALL
from convatlas.pictures.palette import MEANINGS, colour
from convatlas.pictures.shapes import GREY, INK, Box, Shape, Text
from convatlas.pictures.text import text_width


def swatches(loci: Collection[str], left: float, top: float, right: float) -> tuple[list[Shape], float]:
    """Return swatches of loci in rows from `left` to `right`, the first row at `top`, and the top of the last row."""
    shown = {locus if locus in MEANINGS else "other" for locus in loci}
    shapes: list[Shape] = []
    x, y = left, top
    for locus, meaning in MEANINGS.items():
        if locus not in shown:
            continue
        step = 18 + text_width(meaning, SMALL) + 14
        if x + step > right:
            x, y = left, y + 18
        shapes += [Box(x, y, 13, 11, colour(locus), INK, 2), Text(x + 18, y + 9, meaning, SMALL, fill=GREY)]
        x += step
    return shapes, y
