"""Draw the page: a title, the cards of the stages below one another, the lines between them, a legend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from convatlas.anatomy.drawing.labels import amount, shape_text, tooltip
from convatlas.anatomy.drawing.layout.canvas import Canvas
from convatlas.anatomy.drawing.layout.chains import ChainLayout
from convatlas.anatomy.drawing.layout.elements import LINE, SMALL
from convatlas.anatomy.drawing.layout.layout import Layout
from convatlas.anatomy.drawing.page.cards import WIDEST, Plan, break_lines
from convatlas.anatomy.drawing.sketch.pieces import loci, numbers
from convatlas.anatomy.drawing.swatches import swatches
from convatlas.anatomy.measure.records import Measurement
from convatlas.anatomy.structure.tokens import Words
from convatlas.pictures.picture import Picture
from convatlas.pictures.shapes import GREY, PAPER, Box, Point, Shape, Text
from convatlas.pictures.text import wrapped

MARGIN, HEADER, INSIDE, BETWEEN, LANE = 18.0, 24.0, 24.0, 22.0, 9.0
"""Margin; height of a card's header; left and right inside a card; between cards; between the lines on their left."""

CARD = "#f1f2ee"

SIDES = {
    ("squash", "activation"): "capsules × numbers",
    ("capsule votes", "dense"): "children × parents × numbers",
    ("capsules of maps", "routing"): "types × numbers × height × width",
    ("capsule votes", "convolution"): "windows × places × children × parents × numbers",
}
"""Meaning of the sides of shapes other than maps, by kind and locus of the layer."""


@dataclass
class PlacedCard:
    """A card with its lines of blocks, placed: where each line starts, and where the last one ends."""

    plan: Plan
    chains: list[ChainLayout]
    top: float = 0.0
    height: float = 0.0
    left: float = 0.0
    wide: float = 0.0
    levels: tuple[float, ...] = ()

    @property
    def width(self) -> float:
        """Width of its blocks."""
        return max(chain.width for chain in self.chains)


def draw_page(anatomy: Measurement, plans: Sequence[Plan], title: str, description: str) -> Picture:
    """Draw a net from the plans of its cards."""
    words = Words(anatomy)
    canvas = Canvas(lambda numbers: tooltip(numbers, words))
    last_layers = {plan.stages[-1].end: at for at, plan in enumerate(plans)}
    reads = _reads(plans)
    laid = lay_out(plans, words)
    lanes = _lanes(last_layers, reads)
    left = MARGIN + LANE * (1 + max(lanes.values(), default=0)) + 6
    wide = max(*(card.width for card in laid), laid[-1].chains[-1].width + 16) + 2 * INSIDE
    over = head(anatomy, title, left, max(wide, 420), words)
    wide = max(wide, 420)
    top = max(bottom(card) for card in over) + 20
    for card in laid:
        top = place(card, top) + BETWEEN
    for at, card in enumerate(laid):
        paint(canvas, card, left, wide, words, first=at == 0, final=at == len(laid) - 1)
    _connect(canvas, laid, lanes, last_layers, left)
    under = legend(anatomy, plans, words, left, top, wide)
    height = max(bottom(card) for card in under) + MARGIN
    width = left + wide + MARGIN
    ground = Box(0, 0, width, height, PAPER)
    return Picture(width, height, (ground, *canvas.shapes(), *over, *under), title, description)


def lay_out(plans: Sequence[Plan], words: Words, room: float = WIDEST) -> list[PlacedCard]:
    """Return the cards with their blocks on lines of at most `room`, not placed yet."""
    tags = _tags(plans, {plan.stages[-1].end for plan in plans})
    cards: list[PlacedCard] = []
    shape = words.shown[0]
    for plan in plans:
        if len(plan.stages[0].sources) == 1:
            shape = words.shown[plan.stages[0].sources[0]]
        layout = Layout(_entry_texts(plan, plans, tags), tags)
        cards.append(PlacedCard(plan, break_lines(plan, layout, shape, room)))
        shape = cards[-1].chains[-1].shape
    return cards


def _reads(plans: Sequence[Plan]) -> list[set[int]]:
    """Return, for each card, the layers of others that it reads."""
    result = []
    for plan in plans:
        inside = {layer.number for stage in plan.stages for layer in stage.layers}
        result.append({number for stage in plan.stages for number in stage.sources if number not in inside})
    return result


def _tags(plans: Sequence[Plan], ends: set[int]) -> dict[int, str]:
    """Return letters for outputs that other cards read, except for `ends`, the last layers of cards."""
    read_elsewhere = sorted({number for read in _reads(plans) for number in read} - ends - {0})
    hidden = {layer.number for plan in plans if plan.times > 1 for stage in plan.stages[1:] for layer in stage.layers}
    return {
        number: _letter(at) for at, number in enumerate(output for output in read_elsewhere if output not in hidden)
    }


def _letter(at: int) -> str:
    return ascii_uppercase[at % 26] + (str(at // 26) if at >= 26 else "")


def _entry_texts(plan: Plan, plans: Sequence[Plan], tags: dict[int, str]) -> Callable[[int], str]:
    """Return the function from another stage's output to the text of its mark: its letter, or the name of its stage."""
    stages = [stage for other in plans for stage in other.stages]

    def name(number: int) -> str:
        if number in tags:
            return tags[number]
        if number == 0:
            return "photo"
        at = next(at for at, stage in enumerate(stages) if number in stage.outputs)
        back = stages.index(plan.stages[0]) - at
        return stages[at].name if plan.times == 1 else f"{back} back"

    return name


def _lanes(ends: dict[int, int], reads: Sequence[set[int]]) -> dict[int, int]:
    """Return the lane of each output that a card other than the next reads."""
    lanes: dict[int, int] = {}
    busy: list[int] = []
    for number, start in sorted(ends.items(), key=lambda pair: pair[1]):
        readers = [at for at, read in enumerate(reads) if number in read and at > start + 1]
        if not readers:
            continue
        lane = next((at for at, until in enumerate(busy) if until <= start), len(busy))
        busy[lane : lane + 1] = [max(readers)]
        lanes[number] = lane + 1
    return lanes


def place(card: PlacedCard, top: float) -> float:
    """Put a card's lines below one another and return where the card ends."""
    card.top, level, levels = top, top + HEADER, []
    for chain in card.chains:
        level += max(chain.above, 16) + 6
        levels.append(level)
        level += chain.below + 10
    card.levels, card.height = tuple(levels), level + 4 - top
    return top + card.height


def paint(canvas: Canvas, card: PlacedCard, left: float, wide: float, words: Words, first: bool, final: bool) -> None:
    """Paint a card with its left and width."""
    canvas.back.insert(0, Box(left, card.top, wide, card.height, CARD, "#d8dad4", 8))
    canvas.front.append(Text(left + 10, card.top + 16, card.plan.title, 12, True))
    canvas.front.append(Text(left + wide - 10, card.top + 16, card.plan.totals(words), SMALL, anchor="end", fill=GREY))
    x = left + INSIDE
    for at, (chain, level) in enumerate(zip(card.chains, card.levels, strict=True)):
        chain.paint(canvas, x, level)
        if at + 1 < len(card.chains):
            end, between = x + chain.width, level + chain.below + 5
            turn = x - 12
            below = card.levels[at + 1]
            canvas.line(
                (end, level),
                (end + 10, level),
                (end + 10, between),
                (turn, between),
                (turn, below),
                (x, below),
                arrow=True,
            )


def _connect(
    canvas: Canvas, laid: Sequence[PlacedCard], lanes: dict[int, int], ends: dict[int, int], left: float
) -> None:
    """Draw the lines between cards: from the end of one, along the gap below it, down on the left, into the other."""
    x = left + INSIDE
    entries: list[tuple[int, Point]] = list(canvas.entries)
    marked = {(number, point[1]) for number, point in entries}
    exits = {number: at for number, at in ends.items() if number >= 0}
    for card in laid:
        sources = card.plan.stages[0].sources
        if len(sources) == 1 and not any(number == sources[0] and _within(card, level) for number, level in marked):
            entries.append((sources[0], (x, card.levels[0])))
        elif len(sources) > 1 and not any(_within(card, level) for _, level in marked):
            entries += [(number, (x, card.levels[0] + 6 * order - 3)) for order, number in enumerate(sources)]
    for number, (to, level) in entries:
        reader = next(at for at, card in enumerate(laid) if _within(card, level))
        if number == 0:
            if reader == 0:
                canvas.line((left - 14, level), (to, level))
            continue
        if number not in exits:
            continue
        card = laid[exits[number]]
        gutter = card.top + card.height + BETWEEN / 2
        lane = 0 if reader == exits[number] + 1 else lanes[number]
        side = left - 8 - LANE * lane
        end = x + card.chains[-1].width
        canvas.line(
            (end, card.levels[-1]),
            (end + 12, card.levels[-1]),
            (end + 12, gutter),
            (side, gutter),
            (side, level),
            (to, level),
            arrow=(number, level) in marked,
        )
    last = laid[-1]
    if last.plan.stages[-1].end >= 0:
        end = x + last.chains[-1].width
        canvas.line((end, last.levels[-1]), (end + 26, last.levels[-1]), arrow=True)


def _within(card: PlacedCard, level: float) -> bool:
    return card.top <= level <= card.top + card.height


def head(anatomy: Measurement, title: str, left: float, wide: float, words: Words) -> list[Shape]:
    """Return the title with the net's figures."""
    parts = [
        f"photo {shape_text(words.shown[0])}",
        amount(anatomy.parameters, "parameters"),
        amount(anatomy.macs, "MACs"),
        f"{anatomy.depth} layer{'s' if anatomy.depth != 1 else ''} with weights",
        f"{anatomy.path} on the longest path",
    ]
    shapes: list[Shape] = [Text(left, MARGIN + 16, title, 18, True)]
    for at, line in enumerate(wrapped(" · ".join(parts), wide, LINE)):
        shapes.append(Text(left, MARGIN + 35 + 15 * at, line, LINE, fill=GREY))
    return shapes


def legend(
    anatomy: Measurement, plans: Sequence[Plan], words: Words, left: float, top: float, wide: float
) -> list[Shape]:
    """Return a swatch for each colour that is drawn, and the meaning of the marks."""
    drawn = [words.layers[number] for plan in plans for number in numbers(plan.sketch) if number > 0]
    shapes, y = swatches({locus for plan in plans for locus in loci(plan.sketch)}, left, top + 4, left + wide)
    rates = [float(layer.setting) for layer in anatomy.layers if layer.kind == "stochastic depth"]
    notes = "On the arrows: height × width × channels, where they change. ×N: blocks that come N times, drawn once."
    capsules = dict.fromkeys(SIDES[key] for layer in drawn if (key := (layer.kind, layer.locus)) in SIDES)
    notes += f" Of capsules: {'; '.join(capsules)}." if capsules else ""
    notes += f" While it is trained, blocks are dropped at rates up to {max(rates):.3g}." if rates else ""
    unused = ", ".join(f"{name} ({amount(number, 'parameters')})" for name, number in anatomy.unused)
    notes += f" Not used by the output, and not drawn: {unused}." if unused else ""
    for at, line in enumerate(wrapped(notes, wide, SMALL)):
        shapes.append(Text(left, y + 30 + 13 * at, line, SMALL, fill=GREY))
    return shapes


def bottom(shape: Shape) -> float:
    """Return where a box or text ends."""
    return shape.y + shape.height if isinstance(shape, Box) else shape.y + 3 if isinstance(shape, Text) else 0.0
