"""Lay out a graph in columns: every edge runs to the right, and few of them cross (Sugiyama et al. 1981)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from string import ascii_lowercase

from convatlas.anatomy.drawing.layout.canvas import Canvas
from convatlas.anatomy.drawing.layout.chains import JOIN, ChainLayout, enter
from convatlas.anatomy.drawing.layout.elements import GAP, SMALL, EntryBox, Joint
from convatlas.anatomy.drawing.sketch.pieces import Unit
from convatlas.anatomy.measure.records import Shape
from convatlas.pictures.shapes import GREY, PAPER, Disc, Text
from convatlas.pictures.shapes import Shape as Drawn

SPREAD = 40.0
"""Distance of columns, where edges cross."""

SWEEPS = 12
"""Number of passes over the columns that reduce crossings, and of those that straighten edges."""


@dataclass
class Place:
    """A node, or a point where an edge crosses a column: its column, the places that feed it, its size and level."""

    column: int
    feeds: list[int]
    node: int | None = None
    width: float = 0.0
    above: float = 1.0
    below: float = 1.0
    y: float = 0.0


class GraphLayout:
    """A graph with the joint that its ends lead to; -1 among a node's inputs is the graph's input.

    A graph that is wider than `WIDEST` has its columns in bands below one another; marks at the end of a band and at
    the beginning of the next one stand for the edges between them.
    """

    def __init__(
        self,
        nodes: Sequence[ChainLayout],
        inputs: Sequence[Sequence[int]],
        ends: Sequence[int],
        joint: Unit,
        before: Shape,
        tag: str = "",
    ):
        self.nodes = nodes
        self.places, self.columns = _placed(nodes, inputs, ends)
        _sort_columns(self.places, self.columns)
        _set_levels(self.places, self.columns)
        self.wide = [max(self.places[at].width for at in column) for column in self.columns[:-1]]
        self.last = [self.places[at].y for at in self.columns[-1]]
        self.joint = Joint(joint, 10 - min(self.last), 10 + max(self.last), tag)
        self.shape = joint.shape or before
        self.bands = _bands(self.wide)
        self.marks = [self._marks(band[0]) if at else [] for at, band in enumerate(self.bands)]
        sizes = [sum(self.wide[at] + SPREAD for at in band) for band in self.bands]
        sizes[-1] += JOIN + self.joint.width
        divided = len(self.bands) > 1
        self.width = max(sizes) + (2 * MARK + TURN if divided else 0)
        self.levels = [0.0]
        extents = [self._extent(band, at) for at, band in enumerate(self.bands)]
        for (_, below), (above, _) in pairwise(extents):
            self.levels.append(self.levels[-1] + below + 2 * GAP + above)
        self.above, self.below = extents[0][0], self.levels[-1] + extents[-1][1]

    def _extent(self, band: Sequence[int], number: int) -> tuple[float, float]:
        """Return the height of a band above and below the level of its graph."""
        final = number == len(self.bands) - 1
        places = [self.places[at] for column in band for at in self.columns[column]]
        places += [self.places[at] for at in self.columns[-1]] if final else []
        marks = [level for _, level in self.marks[number]]
        tops = [*(place.y - place.above for place in places), *(level - 9 for level in marks)]
        bottoms = [*(place.y + place.below for place in places), *(level + 9 for level in marks)]
        least = (self.joint.above, self.joint.below) if final else (0.0, 0.0)
        return max(least[0], -min(tops)), max(least[1], max(bottoms))

    def _marks(self, column: int) -> list[tuple[int, float]]:
        """Return the earlier places that feed a column, with the levels of their marks, which stay apart."""
        readers: dict[int, list[float]] = {}
        for at in self.columns[column]:
            for feed in self.places[at].feeds:
                readers.setdefault(feed, []).append(self.places[at].y)
        means = sorted((sum(levels) / len(levels), feed) for feed, levels in readers.items())
        result: list[tuple[int, float]] = []
        for level, feed in means:
            result.append((feed, max(level, result[-1][1] + 20 if result else level)))
        return result

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
        """See `Element`."""
        letters: dict[int, str] = {}
        for number, band in enumerate(self.bands):
            left, level = x + (MARK if number else 0), y + self.levels[number]
            lefts = {}
            for column in band:
                lefts[column] = left
                left += self.wide[column] + SPREAD
            for feed, mark in self.marks[number]:
                canvas.front += letter(letters[feed], x + 8, level + mark)
            for column in band:
                for at in self.columns[column]:
                    place = self.places[at]
                    for feed in place.feeds:
                        before = self.places[feed]
                        if before.column in lefts:
                            end = lefts[column] - SPREAD
                            canvas.line(
                                (lefts[before.column] + before.width, level + before.y), (end, level + before.y)
                            )
                            start = end, level + before.y
                        else:
                            start = x + 16, level + dict(self.marks[number])[feed]
                        canvas.curve(start, (lefts[column], level + place.y), arrow=place.node is not None)
                    if place.node is not None:
                        self.nodes[place.node].paint(canvas, lefts[column], level + place.y)
            if number + 1 < len(self.bands):
                for feed, _ in self.marks[number + 1]:
                    again, at_letter = divmod(len(letters), 26)
                    letters[feed] = ascii_lowercase[at_letter] + (str(again) if again else "")
                    before = self.places[feed]
                    at_end = level + before.y
                    canvas.line((lefts[before.column] + before.width, at_end), (left - SPREAD / 2, at_end))
                    canvas.front += letter(letters[feed], left - SPREAD / 2 + 8, at_end)
        joint = left + JOIN
        self.joint.paint(canvas, joint, level)
        for at in self.columns[-1]:
            for feed in self.places[at].feeds:
                before, last = self.places[feed], self.places[at]
                canvas.line((lefts[before.column] + before.width, level + before.y), (left - SPREAD, level + before.y))
                canvas.curve((left - SPREAD, level + before.y), (left, level + last.y))
        for own in self.last:
            enter(canvas, self.joint, (left, level + own), (joint, level))
        if len(self.bands) > 1 and not self.joint.open:
            right = x + self.width - TURN / 2
            canvas.line((joint + self.joint.width, level), (right, level), (right, y), (x + self.width, y))


MARK, TURN = 34.0, 12.0
"""Room for marks beside a band, and for the line that leads from the last band to the height of the first."""

WIDEST = 1900.0
"""Width of the widest band."""


def _bands(wide: Sequence[float]) -> list[list[int]]:
    """Return the columns in bands that are no wider than `WIDEST`, about equally wide."""
    total = sum(wide) + SPREAD * len(wide)
    room = total / ceil(total / WIDEST)
    bands: list[list[int]] = [[]]
    size = 0.0
    for column, width in enumerate(wide):
        if bands[-1] and size + width + SPREAD > room + 1:
            bands.append([])
            size = 0.0
        bands[-1].append(column)
        size += width + SPREAD
    return bands


def letter(text: str, x: float, y: float) -> list[Drawn]:
    """Return a mark around (x, y)."""
    return [Disc(x, y, 8, PAPER, GREY), Text(x, y + 3.3, text, SMALL, anchor="middle", fill=GREY)]


def _placed(
    nodes: Sequence[ChainLayout], inputs: Sequence[Sequence[int]], ends: Sequence[int]
) -> tuple[list[Place], list[list[int]]]:
    """Return the places, and those in each column: a node right of all that feed it, points between."""
    enters = any(-1 in before and nodes[at].elements and not _begins(nodes[at]) for at, before in enumerate(inputs))
    columns: list[int] = []
    for at, before in enumerate(inputs):
        first = 1 if enters and not _begins(nodes[at]) else 0
        columns.append(max([first, *(columns[feed] + 1 for feed in before if feed >= 0)]))
    places = [Place(columns[at], [], at, node.width, node.above, node.below) for at, node in enumerate(nodes)]
    if enters:
        places.append(Place(0, []))
    entry = len(places) - 1
    last = max(columns) + 1
    for at, before in enumerate(inputs):
        for feed in before:
            if feed >= 0 or not _begins(nodes[at]):
                places[at].feeds.append(_waypoint(places, entry if feed < 0 else feed, columns[at]))
    for feed in ends:
        at = _waypoint(places, entry if feed < 0 else feed, last)
        places.append(Place(last, [at]))
    order = sorted(range(len(places)), key=lambda at: (places[at].column, places[at].node is None, at))
    return places, [[at for at in order if places[at].column == column] for column in range(last + 1)]


def _begins(node: ChainLayout) -> bool:
    """Return whether a node starts with another stage's output."""
    return bool(node.elements) and isinstance(node.elements[0], EntryBox)


def _waypoint(places: list[Place], at: int, column: int) -> int:
    """Return the place in the column before `column` through which the edge from `at` runs; missing ones are added."""
    while places[at].column < column - 1:
        step = places[at].column + 1
        known = [
            index
            for index, place in enumerate(places)
            if place.node is None and place.column == step and place.feeds == [at]
        ]
        if not known:
            places.append(Place(step, [at]))
            known = [len(places) - 1]
        at = known[0]
    return at


def _sort_columns(places: list[Place], columns: list[list[int]]) -> None:
    """Sort each column by the mean place of its neighbours, sweeping right and left; keep the fewest crossings."""
    best, fewest = [list(column) for column in columns], _crossings(places, columns)
    reads: dict[int, list[int]] = {}
    for at, place in enumerate(places):
        for feed in place.feeds:
            reads.setdefault(feed, []).append(at)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for number in range(1, len(columns)) if forward else range(len(columns) - 2, -1, -1):
            near = columns[number - 1 if forward else number + 1]
            rank = {at: order for order, at in enumerate(near)}
            means = {}
            for order, at in enumerate(columns[number]):
                linked = [rank[feed] for feed in (places[at].feeds if forward else reads.get(at, [])) if feed in rank]
                means[at] = sum(linked) / len(linked) if linked else float(order)
            columns[number].sort(key=means.__getitem__)
        crossings = _crossings(places, columns)
        if crossings < fewest:
            best, fewest = [list(column) for column in columns], crossings
    columns[:] = best


def _crossings(places: Sequence[Place], columns: Sequence[Sequence[int]]) -> int:
    count = 0
    for before, column in pairwise(columns):
        rank = {at: order for order, at in enumerate(before)}
        wires = [(rank[feed], order) for order, at in enumerate(column) for feed in places[at].feeds]
        count += sum(
            (first[0] - second[0]) * (first[1] - second[1]) < 0
            for place, first in enumerate(wires)
            for second in wires[:place]
        )
    return count


def _set_levels(places: list[Place], columns: Sequence[Sequence[int]]) -> None:
    """Set the levels: each column is stacked around 0, then moved towards its neighbours as far as there is room."""
    for column in columns:
        total = sum(places[at].above + places[at].below for at in column) + GAP * (len(column) - 1)
        level = -total / 2
        for at in column:
            places[at].y = level + places[at].above
            level += places[at].above + places[at].below + GAP
    linked: dict[int, list[int]] = {at: list(place.feeds) for at, place in enumerate(places)}
    for at, place in enumerate(places):
        for feed in place.feeds:
            linked[feed].append(at)
    for _ in range(SWEEPS):
        for column in columns:
            for order, at in enumerate(column):
                near = linked[at]
                if not near:
                    continue
                place, wish = places[at], sum(places[feed].y for feed in near) / len(near)
                if order:
                    above = places[column[order - 1]]
                    wish = max(wish, above.y + above.below + GAP + place.above)
                if order + 1 < len(column):
                    under = places[column[order + 1]]
                    wish = min(wish, under.y - under.above - GAP - place.below)
                place.y = wish
    entry = next((place for place in places if place.column == 0 and place.node is None), None)
    tops, bottoms = (feed.y - feed.above for feed in places), (feed.y + feed.below for feed in places)
    level = entry.y if entry else (min(tops) + max(bottoms)) / 2
    for place in places:
        place.y -= level
