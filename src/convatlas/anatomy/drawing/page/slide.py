"""Draw a net to fill a slide of 16:9: cards side by side in rows, with as much detail as can be read from a seat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from convatlas.anatomy.drawing.labels import short, tooltip
from convatlas.anatomy.drawing.layout.canvas import Canvas
from convatlas.anatomy.drawing.maps.stations import stage_text
from convatlas.anatomy.drawing.page.cards import Plan, reference_box
from convatlas.anatomy.drawing.page.page import (
    HEADER,
    INSIDE,
    MARGIN,
    PlacedCard,
    bottom,
    head,
    lay_out,
    legend,
    paint,
    place,
)
from convatlas.anatomy.drawing.sketch.pieces import (
    Entry,
    ForkPiece,
    Frame,
    Piece,
    Repeat,
    Sketch,
    Unit,
    numbers,
    patterns,
    shape_after,
    sketches_in,
)
from convatlas.anatomy.measure.records import Measurement
from convatlas.anatomy.structure.tokens import Words
from convatlas.pictures.picture import Picture
from convatlas.pictures.shapes import PAPER, Box, Point
from convatlas.pictures.text import text_width

ASPECT = 16 / 9

READABLE = 900.0
"""Height of the highest slide whose letters, 11 pixels high, are large enough to be read."""

LINES = (420.0, 560.0, 720.0, 900.0, 1180.0)
"""Widths of lines of blocks that are tried."""

ROWS = tuple(600.0 + 100.0 * step for step in range(20))
"""Widths of rows of cards that are tried."""

ACROSS, BELOW = 30.0, 24.0
"""Distance of cards side by side, and of rows."""


@dataclass
class Slide:
    """Cards in rows, with the size of all of them."""

    rows: list[list[PlacedCard]]
    width: float
    height: float

    @property
    def tall(self) -> float:
        """Height of the whole slide, at least what its width needs for 16:9."""
        return max(self.height + AROUND, (self.width + 2 * MARGIN) / ASPECT)


AROUND = 150.0
"""Height of title and legend."""


def draw_slide(anatomy: Measurement, plans: Sequence[Plan], title: str, description: str) -> Picture:
    """Draw a net from the plans of its cards: the most detailed of three versions that can be read."""
    words = Words(anatomy)
    best: tuple[Slide, Sequence[Plan]] | None = None
    for shown in (plans, _shortened(plans, words), _summed(plans, words)):
        slide = min((slide for line in LINES for slide in _slides(shown, words, line)), key=lambda slide: slide.tall)
        if best is None or slide.tall < best[0].tall:
            best = slide, shown
        if slide.tall <= READABLE:
            break
    assert best is not None
    return _drawn(anatomy, *best, words, title, description)


def _slides(plans: Sequence[Plan], words: Words, line: float) -> Iterator[Slide]:
    """Yield the cards in rows of several widths, with lines of blocks as long as `line`."""
    cards = lay_out(plans, words, line)
    for number, card in enumerate(cards):
        title = text_width(card.plan.title, 12, True) + text_width(card.plan.totals(words), 9) + 50
        card.wide = max(card.width + 2 * INSIDE + (16 if number == len(cards) - 1 else 0), title)
    for width in ROWS:
        rows: list[list[PlacedCard]] = [[]]
        for card in cards:
            if rows[-1] and sum(other.wide + ACROSS for other in rows[-1]) + card.wide > width:
                rows.append([])
            rows[-1].append(replace(card))
        top = 0.0
        for row in rows:
            top = max(place(card, top) for card in row) + BELOW
        yield Slide(rows, max(sum(card.wide + ACROSS for card in row) for row in rows) - ACROSS, top - BELOW)


def _drawn(
    anatomy: Measurement, slide: Slide, plans: Sequence[Plan], words: Words, title: str, description: str
) -> Picture:
    ends = [
        max(map(bottom, shapes))
        for shapes in (head(anatomy, title, 0, slide.width, words), legend(anatomy, plans, words, 0, 0, slide.width))
    ]
    needed = ends[0] + 20 + slide.height + 20 + ends[1] + MARGIN
    height = max(needed, (slide.width + 2 * MARGIN) / ASPECT)
    width = height * ASPECT
    left = (width - slide.width) / 2
    over = head(anatomy, title, left, slide.width, words)
    spare = height - needed
    start = ends[0] + 20 + spare * 0.4
    canvas = Canvas(lambda layers: tooltip(layers, words))
    for row in slide.rows:
        x = left
        high = max(card.height for card in row)
        for card in row:
            place(card, start)
            card.left, card.height = x, high
            paint(canvas, card, x, card.wide, words, first=card is slide.rows[0][0], final=card is slide.rows[-1][-1])
            x += card.wide + ACROSS
        start += high + BELOW
    _connect(canvas, slide, left)
    under = legend(anatomy, plans, words, left, start - BELOW + 20, slide.width)
    ground = Box(0, 0, width, height, PAPER)
    return Picture(width, height, (ground, *canvas.shapes(), *over, *under), title, description)


def _connect(canvas: Canvas, slide: Slide, left: float) -> None:
    """Draw the line from each card to the next one if that reads it; marks name what comes from farther."""
    cards = [card for row in slide.rows for card in row]
    starts = {id(row[0]) for row in slide.rows}
    canvas.line((left - 14, cards[0].levels[0]), (left + INSIDE, cards[0].levels[0]))
    for before, card in pairwise(cards):
        number = before.plan.stages[-1].end
        for to, level in _entries(canvas, card, number):
            end, out = before.left + INSIDE + before.chains[-1].width, before.levels[-1]
            if id(card) in starts:
                gutter, side = before.top + before.height + BELOW / 2, left - 10
                points = [(end + 12, out), (end + 12, gutter), (side, gutter), (side, level)]
            else:
                gap = card.left - ACROSS / 2
                points = [(gap, out), (gap, level)]
            marked = any(entry == (number, (to, level)) for entry in canvas.entries)
            canvas.line((end, out), *points, (to, level), arrow=marked)
    last = cards[-1]
    if last.plan.stages[-1].end >= 0:
        end = last.left + INSIDE + last.chains[-1].width
        canvas.line((end, last.levels[-1]), (end + 26, last.levels[-1]), arrow=True)


def _entries(canvas: Canvas, card: PlacedCard, number: int) -> list[Point]:
    """Return where a card reads a layer: at its marks, or at its beginning."""
    if number < 0:
        return []

    def within(point: Point) -> bool:
        return (
            card.left <= point[0] <= card.left + card.wide and card.top + HEADER <= point[1] <= card.top + card.height
        )

    marks = [point for entry, point in canvas.entries if entry == number and within(point)]
    reads = number in card.plan.stages[0].sources
    if marks or not reads or any(within(point) for _, point in canvas.entries):
        return marks
    return [(card.left + INSIDE, card.levels[0])]


def _shortened(plans: Sequence[Plan], words: Words) -> list[Plan]:
    """Return the plans with one box for blocks that were drawn before with other widths, which names these."""
    drawn: dict[str, str] = {}
    result: list[Plan] = []
    for plan in plans:
        pieces = list(plan.sketch)
        marks = [piece for piece in pieces[:1] if isinstance(piece, Entry)]
        whole = Frame(plan.stages[0].name, plan.sketch[len(marks) :])
        if not any(isinstance(piece, Frame | Repeat) for piece in pieces) and len(whole.sketch) > 1:
            pieces = [*marks, whole]
        short: list[Piece] = []
        for piece in pieces:
            if not isinstance(piece, Frame | Repeat):
                short.append(piece)
                continue
            look = patterns(piece.sketch, widths=False)
            stage = plan.stages[0].name
            name = piece.name or stage
            if len(plan.stages) == plan.times and not name.startswith(stage):
                name = f"{stage}.{name}"
            if look in drawn:
                short.append(_referring(piece, drawn[look]))
            else:
                drawn[look] = name.partition(" – ")[0]
                short.append(piece)
        # A stage that is not shortened has no frame around all of it.
        result.append(plan if whole in short else replace(plan, sketch=tuple(short)))
    return result


def _referring(piece: Frame | Repeat, name: str) -> Piece:
    """Return a box that stands for a piece drawn before as `name`."""
    shape = shape_after(piece)
    unit = reference_box(piece.sketch, name, shape)
    return Repeat((unit,), piece.times, piece.rest, shape=shape) if isinstance(piece, Repeat) else unit


def _summed(plans: Sequence[Plan], words: Words) -> list[Plan]:
    """Return the plans with one box for each, which says how many layers of which kind it holds."""
    return [replace(plan, sketch=_box(plan, words)) for plan in plans]


def _box(plan: Plan, words: Words) -> Sketch:
    layers = [words.layers[number] for number in numbers(plan.sketch) if number > 0]
    text, locus = stage_text(layers)
    text = text or tuple(dict.fromkeys(short(layer) for layer in layers))[-3:]
    shape = words.shown[plan.stages[-1].outputs[-1]]
    unit = Unit(tuple(layer.number for layer in layers), text, locus, shape=shape)
    sources = plan.stages[0].sources
    marks = list(_entries_in(plan.sketch))
    if len(sources) > 1:
        marks = [Entry(number, words.shown[number]) for number in sources]
    if len(marks) > 1:
        return (ForkPiece(tuple((mark,) for mark in marks), unit),)
    return (*marks, unit)


def _entries_in(sketch: Sequence[Piece]) -> Iterator[Entry]:
    """Yield the marks of other stages' outputs."""
    for piece in sketch:
        if isinstance(piece, Entry):
            yield piece
        for inner in sketches_in(piece):
            yield from _entries_in(inner)
