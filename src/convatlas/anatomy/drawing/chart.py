"""The bubble chart of a choice: cost on a logarithmic axis, accuracy, and the front."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import ceil, floor, hypot, log10, sqrt

from convatlas.anatomy.report.choose import COSTS, Candidate, Choice
from convatlas.pictures.picture import Picture
from convatlas.pictures.shapes import GREY, INK, PAPER, Bounds, Box, Disc, Group, Line, Point, Shape, Text
from convatlas.pictures.text import text_width, wrapped

LEFT, TOP, WIDE, HIGH, SMALL = 64.0, 76.0, 900.0, 600.0, 9.0
"""Where the field of the chart begins, its sides, and the size of labels."""

FAMILIES = (
    "#4c78a8", "#f58518", "#54a24b", "#72b7b2", "#e45756", "#b279a2", "#9d755d", "#eeca3b", "#ff9da6", "#2f4b7c",
    "#88d27a", "#d67195", "#79706e", "#439894", "#bab0ac", "#83bcb6",
)  # fmt: skip
"""Colours of families, in the order in which they come."""

Place = Callable[[Candidate], tuple[float, float, float]]
"""Of a net: the middle of its disc, and its radius."""

UNITS = {"parameters": (1e6, "M"), "megabytes": (1.0, ""), "macs": (1e9, "G"), "time": (1.0, "")}


def chart(choice: Choice) -> Picture:
    """The picture: nets that do not fit are pale, those on the front carry their names."""
    shown = [one for one in choice.candidates if one.cost(choice.by) < float("inf")]
    unit, letter = UNITS[choice.by]
    costs = [one.cost(choice.by) / unit for one in shown] or [1.0, 10.0]
    low, high = log10(min(costs) * 0.8), log10(max(costs) * 1.25)
    bottom = floor(min((one.top1 for one in shown), default=60.0)) - 1
    most = ceil(max((one.top1 for one in shown), default=90.0)) + 2
    largest = max((one.parameters for one in shown), default=1)

    def place(one: Candidate) -> tuple[float, float, float]:
        x = LEFT + WIDE * (log10(one.cost(choice.by) / unit) - low) / (high - low)
        y = TOP + HIGH * (most - one.top1) / (most - bottom)
        return x, y, 4 + 22 * sqrt(one.parameters / largest)

    families = list(dict.fromkeys(one.family for one in sorted(shown, key=lambda one: (one.year, one.family))))
    colours = {family: FAMILIES[at % len(FAMILIES)] for at, family in enumerate(families)}
    shapes: list[Shape] = [*_axes(low, high, bottom, most, letter, choice.by)]
    front = sorted((place(one)[:2] for one in choice.front), key=lambda point: point[0])
    for one in sorted(shown, key=lambda one: (one.fits, -one.parameters)):
        x, y, radius = place(one)
        disc = Disc(x, y, radius, colours[one.family] if one.fits else "#e6e8e6", INK if one.front else "none", 0.75)
        text = f"{one.net} ({one.year}): {one.top1:.1f}% top-1, {one.parameters / 1e6:.1f}M parameters, "
        shapes.append(Group((disc,), f"{text}{one.macs / 1e9:.2f}G MACs"))
    if len(front) > 1:
        shapes.append(Line(tuple(front), INK, 1.4, dashed=True, radius=0))
    shapes += _labels(choice, shown, place, front)
    coloured = {one.family for one in shown if one.fits}
    legend, end = _legend([family for family in families if family in coloured], colours, TOP + HIGH + 62)
    lines = wrapped(choice.why, WIDE, 11, bold=True)
    note = "The area of a disc is the size of the weights; nets that do not fit are grey. Accuracy as published."
    told = [Text(LEFT, end + 22 + 15 * at, line, 11, True) for at, line in enumerate(lines)]
    told.append(Text(LEFT, end + 26 + 15 * len(lines), note, SMALL, fill=GREY))
    width, height = LEFT + WIDE + 40, end + 44 + 15 * len(lines)
    title = f"Accuracy against {COSTS[choice.by]}"
    ground = Box(0, 0, width, height, PAPER)
    return Picture(width, height, (ground, Text(LEFT, 42, title, 18, True), *shapes, *legend, *told), title, choice.why)


def _axes(low: float, high: float, bottom: int, most: int, letter: str, by: str) -> list[Shape]:
    shapes: list[Shape] = [Box(LEFT, TOP, WIDE, HIGH, "#ffffff", "#c9cdc8")]
    step = 5 if most - bottom > 12 else 2
    for share in range(ceil(bottom / step) * step, most, step):
        y = TOP + HIGH * (most - share) / (most - bottom)
        shapes.append(Line(((LEFT, y), (LEFT + WIDE, y)), "#e3e5e1", 1))
        shapes.append(Text(LEFT - 8, y + 4, f"{share}%", SMALL + 1, anchor="end", fill=GREY))
    for power in range(floor(low), ceil(high) + 1):
        for digit in (1, 2, 5):
            value = digit * 10.0**power
            if low <= log10(value) <= high:
                x = LEFT + WIDE * (log10(value) - low) / (high - low)
                shapes.append(Line(((x, TOP), (x, TOP + HIGH)), "#e3e5e1", 1))
                text = f"{value:g}{letter}"
                shapes.append(Text(x, TOP + HIGH + 16, text, SMALL + 1, anchor="middle", fill=GREY))
    shapes.append(Text(LEFT + WIDE / 2, TOP + HIGH + 36, COSTS[by], 11, anchor="middle"))
    shapes.append(Text(22, TOP + HIGH / 2, "top-1 accuracy on ImageNet (%)", 11, anchor="middle", turned=True))
    return shapes


def _labels(choice: Choice, shown: Sequence[Candidate], place: Place, front: Sequence[Point]) -> list[Shape]:
    """Names: of the recommended net, of the front, then of others where there is room beside discs and line."""
    order = sorted(shown, key=lambda one: (one.net != choice.recommended, not one.front, not one.fits, -one.top1))
    taken: list[Bounds] = []
    made: list[Shape] = []
    discs = [place(one) for one in shown if one.fits]
    pale = [place(one) for one in shown if not one.fits]
    for one in order:
        if not one.fits:
            continue
        texts = list(_spots(one.net, place(one), one.net == choice.recommended))
        free = [text for text in texts if not any(_meet(text.bounds(), other) for other in taken)]
        worth = [
            (_hidden(text.bounds(), discs, front), _hidden(text.bounds(), pale, ()), at) for at, text in enumerate(free)
        ]
        if not worth or (min(worth)[0] and not one.front):
            continue
        chosen = free[min(worth)[-1]]
        taken.append(chosen.bounds())
        made.append(chosen)
    return made


def _spots(name: str, disc: tuple[float, float, float], bold: bool) -> Iterator[Text]:
    """Where a name may stand: beside its disc, above and below it, at its corners; all within the field."""
    (x, y, radius), wide = disc, text_width(name, SMALL, bold)
    near = 0.75 * radius + 4
    for dx, dy in ((1, 0), (-1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)):
        far = (radius + 4 if not dy else near) if dx else 0.0
        left = x + far if dx > 0 else x - far - wide if dx < 0 else x - wide / 2
        left = min(max(left, LEFT + 3), LEFT + WIDE - wide - 3) if not dx else left
        level = y + 3 + dy * ((radius + 7 if not dx else near + 1) + (1 if dy > 0 else 0))
        text = Text(left, level, name, SMALL, bold)
        start, top, end, bottom = text.bounds()
        if start > LEFT and end < LEFT + WIDE and top > TOP and bottom < TOP + HIGH:
            yield text


def _hidden(bounds: Bounds, discs: Sequence[tuple[float, float, float]], front: Sequence[Point]) -> int:
    """How many discs and pieces of the front's line a name would lie on."""
    left, top, right, bottom = bounds
    count = 0
    for x, y, radius in discs:
        nearest = min(max(x, left), right), min(max(y, top), bottom)
        count += hypot(nearest[0] - x, nearest[1] - y) < radius
    for (x1, y1), (x2, y2) in pairwise(front):
        for step in range(41):
            x, y = x1 + (x2 - x1) * step / 40, y1 + (y2 - y1) * step / 40
            if left - 1 < x < right + 1 and top - 1 < y < bottom + 1:
                count += 1
                break
    return count


def _meet(first: Bounds, second: Bounds) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _legend(families: Sequence[str], colours: dict[str, str], top: float) -> tuple[list[Shape], float]:
    """A disc for each family, and where the legend ends."""
    shapes: list[Shape] = []
    x, y = LEFT, top
    for family in families:
        step = 16 + text_width(family, SMALL) + 16
        if x + step > LEFT + WIDE:
            x, y = LEFT, y + 17
        shapes += [Disc(x + 5, y - 3, 5, colours[family]), Text(x + 14, y, family, SMALL, fill=GREY)]
        x += step
    return shapes, y
