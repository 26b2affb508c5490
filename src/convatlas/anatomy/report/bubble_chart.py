"""The bubble chart of a choice: cost on a logarithmic axis, accuracy, and the front of nets that no other beats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot, inf, sqrt

from convatlas.anatomy.report.candidates import COSTS, Candidate
from convatlas.pictures.axes import linear, logarithmic
from convatlas.pictures.charts import Chart, Panel
from convatlas.pictures.marks import SMALL, Curve, Dots, Mark, Place
from convatlas.pictures.palette import OTHERS, colours_apart
from convatlas.pictures.picture import Picture
from convatlas.pictures.shapes import INK, Bounds, Point, Shape, Text, overlap
from convatlas.pictures.text import text_width

UNITS = {"parameters": (1e6, "M"), "megabytes": (1.0, ""), "macs": (1e9, "G"), "time": (1.0, "")}
"""Divisor of each cost on the axis, and the letter behind the number."""

PALE = "#e6e8e6"
"""Colour of nets that do not fit."""

NOTE = "The area of a disc is the size of the weights; nets that do not fit are grey. Accuracy as published."

Bubble = tuple[float, float, float]
"""Centre and radius of a disc."""


def bubble_chart(candidates: Sequence[Candidate], by: str, recommended: str | None, why: str) -> Picture:
    """Draw candidates by cost and accuracy: those that do not fit pale, those on the front with their names."""
    shown = [net for net in candidates if net.cost(by) < inf]
    unit, letter = UNITS[by]
    x = logarithmic([net.cost(by) / unit for net in shown], COSTS[by], unit=letter, margin=0.06)
    accuracies = [net.top1 for net in shown]
    y = linear(accuracies, "top-1 accuracy on ImageNet (%)", unit="%", margin=0.08)
    largest = max((net.parameters for net in shown), default=1)
    colours = colours_apart(net.family for net in sorted(shown, key=lambda net: (net.year, net.family)))
    fitting = {colours[net.family] for net in shown if net.fits}
    named = sorted(dict.fromkeys(colours.values()), key=lambda pair: pair[1] == OTHERS)
    marks: list[Mark] = [Dots((), (), *pair, opacity=0.75) for pair in named if pair in fitting]
    for net in sorted(shown, key=lambda net: (net.fits, -net.parameters)):
        title = f"{net.net} ({net.year}): {net.top1:.1f}% top-1, {net.parameters / 1e6:.1f}M parameters, "
        title += f"{net.macs / 1e9:.2f}G MACs"
        colour, stroke = colours[net.family][0] if net.fits else PALE, INK if net.front else "none"
        radius = _radius(net, largest)
        marks.append(Dots([net.cost(by) / unit], [net.top1], colour, "", radius, 0.75, stroke, titles=[title]))
    front = sorted((net.cost(by) / unit, net.top1) for net in shown if net.front)
    if len(front) > 1:
        marks.append(Curve([cost for cost, _ in front], [top1 for _, top1 in front], INK, width=1.4, dashed=True))
    marks.append(BubbleNames(shown, by, unit, recommended, largest, (x.low, x.high, y.low, y.high)))
    panel = Panel(x, y, marks, width=900, height=600)
    return Chart([panel], f"Accuracy against {COSTS[by]}", f"{why}. {NOTE}", description=why).picture()


def _radius(net: Candidate, largest: int) -> float:
    return 4 + 22 * sqrt(net.parameters / largest)


@dataclass(frozen=True)
class BubbleNames:
    """Names of nets: the recommended one and those on the front, and others where discs and line leave room.

    Attributes:
        nets: The nets that are shown.
        by: Their cost.
        unit: The divisor of the cost.
        recommended: The net whose name is bold.
        largest: The most parameters of a net, which set the size of discs.
        ends: Low and high end of both axes.
        label: Empty: the legend does not mention names.
    """

    nets: Sequence[Candidate]
    by: str
    unit: float
    recommended: str | None
    largest: int
    ends: tuple[float, float, float, float]
    label: str = ""

    def shapes(self, place: Place) -> list[Shape]:
        """Return the names, each where it covers no disc, no other name and not the front's line."""
        bubbles = {
            net.net: (*place(net.cost(self.by) / self.unit, net.top1), _radius(net, self.largest)) for net in self.nets
        }
        discs = [bubbles[net.net] for net in self.nets if net.fits]
        pale = [bubbles[net.net] for net in self.nets if not net.fits]
        front = sorted(bubbles[net.net][:2] for net in self.nets if net.front)
        (left, bottom), (right, top) = place(self.ends[0], self.ends[2]), place(self.ends[1], self.ends[3])
        field = left, top, right, bottom
        order = sorted(
            (net for net in self.nets if net.fits),
            key=lambda net: (net.net != self.recommended, not net.front, -net.top1),
        )
        texts: list[Text] = []
        for net in order:
            best, least = None, (inf, inf)
            for text in _spots(net.net, bubbles[net.net], net.net == self.recommended, field):
                if any(overlap(text.bounds(), other.bounds()) for other in texts):
                    continue
                cost = _covered(text.bounds(), discs, front), _covered(text.bounds(), pale, ())
                if cost < least:
                    best, least = text, cost
                if cost == (0, 0):
                    break
            if best is not None and (least[0] == 0 or net.front):
                texts.append(best)
        return [*texts]

    def swatch(self, x: float, y: float) -> list[Shape]:
        """Return nothing: the legend does not mention names."""
        return []


def _spots(name: str, bubble: Bubble, bold: bool, field: Bounds) -> Iterator[Text]:
    """Yield texts of a name within the field: close around its disc, then a little farther away."""
    (x, y, radius), length = bubble, text_width(name, SMALL, bold)
    for reach in (radius, radius + 12):
        near = 0.75 * reach + 4
        for dx, dy in ((1, 0), (-1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)):
            far = (reach + 4 if not dy else near) if dx else 0.0
            left = x + far if dx > 0 else x - far - length if dx < 0 else x - length / 2
            left = min(max(left, field[0] + 3), field[2] - length - 3) if not dx else left
            level = y + 3 + dy * ((reach + 7 if not dx else near + 1) + (1 if dy > 0 else 0))
            text = Text(left, level, name, SMALL, bold)
            start, top, end, bottom = text.bounds()
            if start > field[0] and end < field[2] and top > field[1] and bottom < field[3]:
                yield text


def _covered(bounds: Bounds, discs: Sequence[Bubble], front: Sequence[Point]) -> int:
    """Return how many discs and segments of the front's line a name would cover."""
    left, top, right, bottom = bounds
    count = 0
    for x, y, radius in discs:
        nearest = min(max(x, left), right), min(max(y, top), bottom)
        count += hypot(nearest[0] - x, nearest[1] - y) < radius
    for (x1, y1), (x2, y2) in pairwise(front):
        points = ((x1 + (x2 - x1) * step / 40, y1 + (y2 - y1) * step / 40) for step in range(41))
        count += any(left - 1 < x < right + 1 and top - 1 < y < bottom + 1 for x, y in points)
    return count
