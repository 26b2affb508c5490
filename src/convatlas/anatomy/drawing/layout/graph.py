"""Lay out a graph in columns: every edge runs to the right, and few of them cross (Sugiyama et al. 1981)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from convatlas.anatomy.drawing.layout.canvas import Canvas
from convatlas.anatomy.drawing.layout.chains import JOIN, ChainLayout, enter
from convatlas.anatomy.drawing.layout.elements import GAP, EntryBox, Joint
from convatlas.anatomy.drawing.sketch.pieces import Unit
from convatlas.anatomy.measure.records import Shape

SPREAD = 40.0
"""Distance of columns, where edges cross."""

SWEEPS = 12


@dataclass
class Place:
    """A node, or a point where an edge passes a column: its column, its level, the places that feed it."""

    column: int
    feeds: list[int]
    node: int | None = None
    width: float = 0.0
    above: float = 1.0
    below: float = 1.0
    y: float = 0.0


class GraphLayout:
    """A graph with the joint that its ends lead to; -1 among a node's inputs is the graph's input."""

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
        _ordered(self.places, self.columns)
        _levelled(self.places, self.columns)
        self.wide = [max(self.places[at].width for at in column) for column in self.columns[:-1]]
        self.last = [self.places[at].y for at in self.columns[-1]]
        self.joint = Joint(joint, 10 - min(self.last), 10 + max(self.last), tag)
        self.shape = joint.shape or before
        self.width = sum(self.wide) + SPREAD * len(self.wide) + JOIN + self.joint.width
        tops = [place.y - place.above for place in self.places]
        bottoms = [place.y + place.below for place in self.places]
        self.above = max(self.joint.above, -min(tops))
        self.below = max(self.joint.below, max(bottoms))

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
        """See `Element`."""
        lefts = [x]
        for wide in self.wide:
            lefts.append(lefts[-1] + wide + SPREAD)
        for column, left in zip(self.columns[1:], lefts[1:], strict=True):
            for at in column:
                place = self.places[at]
                for before in place.feeds:
                    self._line(canvas, self.places[before], place, lefts, y)
                if place.node is not None:
                    self.nodes[place.node].paint(canvas, left, y + place.y)
        for at in self.columns[0]:
            place = self.places[at]
            if place.node is not None:
                self.nodes[place.node].paint(canvas, x, y + place.y)
        joint = lefts[-1] + JOIN
        self.joint.paint(canvas, joint, y)
        for level in self.last:
            enter(canvas, self.joint, (lefts[-1], y + level), (joint, y))

    def _line(self, canvas: Canvas, before: Place, after: Place, lefts: Sequence[float], y: float) -> None:
        """Draw an edge: from the end of a node, level through its column, then over to the next one."""
        left, right = lefts[before.column], lefts[before.column + 1]
        canvas.line((left + before.width, y + before.y), (right - SPREAD, y + before.y))
        canvas.curve((right - SPREAD, y + before.y), (right, y + after.y), arrow=after.node is not None)


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
                places[at].feeds.append(_passed(places, entry if feed < 0 else feed, columns[at]))
    for feed in ends:
        at = _passed(places, entry if feed < 0 else feed, last)
        places.append(Place(last, [at]))
    order = sorted(range(len(places)), key=lambda at: (places[at].column, places[at].node is None, at))
    return places, [[at for at in order if places[at].column == column] for column in range(last + 1)]


def _begins(node: ChainLayout) -> bool:
    """Return whether a node starts with another stage's output."""
    return bool(node.elements) and isinstance(node.elements[0], EntryBox)


def _passed(places: list[Place], at: int, column: int) -> int:
    """Return the place before `column` through which the edge from `at` runs, added where there is none."""
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


def _ordered(places: list[Place], columns: list[list[int]]) -> None:
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


def _levelled(places: list[Place], columns: Sequence[Sequence[int]]) -> None:
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
