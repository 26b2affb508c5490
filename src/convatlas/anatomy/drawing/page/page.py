"""Draw the page: a title, the cards of the stages below one another, the lines between them, a legend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from convatlas.anatomy.drawing.labels import counted, times
from convatlas.anatomy.drawing.layout.canvas import Canvas
from convatlas.anatomy.drawing.layout.chains import ChainLayout
from convatlas.anatomy.drawing.layout.elements import LINE, SMALL
from convatlas.anatomy.drawing.layout.layout import Layout
from convatlas.anatomy.drawing.page.cards import Plan, lines
from convatlas.anatomy.drawing.sketch.pieces import numbers
from convatlas.anatomy.measure.records import Measurement
from convatlas.anatomy.structure.tokens import Words
from convatlas.pictures.palette import MEANINGS, colour
from convatlas.pictures.picture import Picture
from convatlas.pictures.shapes import GREY, INK, PAPER, Box, Point, Shape, Text
from convatlas.pictures.text import text_width, wrapped

MARGIN, HEADER, INSIDE, BETWEEN, LANE = 18.0, 24.0, 24.0, 22.0, 9.0
"""Around the sheet; of a card's header; left and right in a card; between cards; between the lines on their left."""

CARD = "#f1f2ee"

SIDES = {
    ("squash", "activation"): "capsules × numbers",
    ("capsule votes", "dense"): "children × parents × numbers",
    ("capsules of maps", "routing"): "types × numbers × height × width",
    ("capsule votes", "convolution"): "windows × places × children × parents × numbers",
}
"""What the sides of shapes are that are no maps, by kind and locus of the layer that gives them."""


@dataclass
class Laid:
    """A card with its lines of blocks, placed: where each line starts, and where the last one ends."""

    plan: Plan
    chains: list[ChainLayout]
    top: float = 0.0
    height: float = 0.0
    levels: tuple[float, ...] = ()

    @property
    def width(self) -> float:
        """Width of its blocks."""
        return max(chain.width for chain in self.chains)


def sheet(anatomy: Measurement, plans: Sequence[Plan], title: str, description: str) -> Picture:
    """Draw a net from the plans of its cards."""
    words = Words(anatomy)
    canvas = Canvas(lambda found: told(found, words))
    last_layers = {plan.stages[-1].end: at for at, plan in enumerate(plans)}
    reads = _reads(plans)
    tags = _tags(plans, set(last_layers))
    laid: list[Laid] = []
    shape = words.shown[0]
    for plan in plans:
        layout = Layout(_entries(plan, plans, tags), tags)
        if len(plan.stages[0].sources) == 1:
            shape = words.shown[plan.stages[0].sources[0]]
        laid.append(Laid(plan, lines(plan, layout, shape)))
        shape = laid[-1].chains[-1].shape
    lanes = _lanes(last_layers, reads)
    left = MARGIN + LANE * (1 + max(lanes.values(), default=0)) + 6
    wide = max(*(one.width for one in laid), laid[-1].chains[-1].width + 16) + 2 * INSIDE
    head = _head(anatomy, title, left, max(wide, 420), words)
    wide = max(wide, 420)
    top = max(_bottom(one) for one in head) + 20
    for one in laid:
        top = _place(one, top) + BETWEEN
    for at, one in enumerate(laid):
        _paint(canvas, one, left, wide, words, first=at == 0, final=at == len(laid) - 1)
    _connect(canvas, laid, lanes, last_layers, left)
    legend = _legend(anatomy, plans, words, left, top, wide)
    height = max(_bottom(one) for one in legend) + MARGIN
    width = left + wide + MARGIN
    ground = Box(0, 0, width, height, PAPER)
    return Picture(width, height, (ground, *canvas.shapes(), *head, *legend), title, description)


def told(found: Iterable[int], words: Words) -> str:
    """Return the text that appears when one points at a box of layers."""
    texts = []
    for number in found:
        layer = words.layers[number]
        parts = [f"{layer.name or 'the net'}: {layer.kind}, {times(words.shown[number])}"]
        parts += [f"{layer.parameters:,} parameters"] if layer.parameters else []
        parts += [f"{layer.macs:,} MACs"] if layer.macs else []
        parts += [f"field {times(layer.field)}"] if layer.field else []
        texts.append(", ".join(parts))
    return "; ".join(texts)


def _reads(plans: Sequence[Plan]) -> list[set[int]]:
    """Return, for each card, the layers of others that it reads."""
    found = []
    for plan in plans:
        inside = {layer.number for stage in plan.stages for layer in stage.layers}
        found.append({number for stage in plan.stages for number in stage.sources if number not in inside})
    return found


def _tags(plans: Sequence[Plan], ends: set[int]) -> dict[int, str]:
    """Return letters for outputs that other cards read and that do not leave their card at its end."""
    given = sorted({number for read in _reads(plans) for number in read} - ends - {0})
    hidden = {layer.number for plan in plans if plan.times > 1 for stage in plan.stages[1:] for layer in stage.layers}
    return {number: _letter(at) for at, number in enumerate(one for one in given if one not in hidden)}


def _letter(at: int) -> str:
    return ascii_uppercase[at % 26] + (str(at // 26) if at >= 26 else "")


def _entries(plan: Plan, plans: Sequence[Plan], tags: dict[int, str]) -> Callable[[int], str]:
    """Return the function that gives the text of the mark of another stage's output: its letter or its stage."""
    stages = [stage for one in plans for stage in one.stages]

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


def _place(one: Laid, top: float) -> float:
    """Put a card's lines below one another and return where the card ends."""
    one.top, level, levels = top, top + HEADER, []
    for chain in one.chains:
        level += max(chain.above, 16) + 6
        levels.append(level)
        level += chain.below + 10
    one.levels, one.height = tuple(levels), level + 4 - top
    return top + one.height


def _paint(canvas: Canvas, one: Laid, left: float, wide: float, words: Words, first: bool, final: bool) -> None:
    canvas.back.insert(0, Box(left, one.top, wide, one.height, CARD, "#d8dad4", 8))
    badge = f"   ×{one.plan.times}" if one.plan.times > 1 else ""
    canvas.front.append(Text(left + 10, one.top + 16, one.plan.name + badge, 12, True))
    canvas.front.append(Text(left + wide - 10, one.top + 16, one.plan.totals(words), SMALL, anchor="end", fill=GREY))
    x = left + INSIDE
    for at, (chain, level) in enumerate(zip(one.chains, one.levels, strict=True)):
        chain.paint(canvas, x, level)
        if at + 1 < len(one.chains):
            end, between = x + chain.width, level + chain.below + 5
            turn = x - 12
            below = one.levels[at + 1]
            canvas.line(
                (end, level),
                (end + 10, level),
                (end + 10, between),
                (turn, between),
                (turn, below),
                (x, below),
                arrow=True,
            )


def _connect(canvas: Canvas, laid: Sequence[Laid], lanes: dict[int, int], ends: dict[int, int], left: float) -> None:
    """Draw the lines between cards: from the end of one, along the gap below it, down on the left, into the other."""
    x = left + INSIDE
    entries: list[tuple[int, Point]] = list(canvas.entries)
    marked = {(number, point[1]) for number, point in entries}
    exits = {number: at for number, at in ends.items() if number >= 0}
    for one in laid:
        sources = one.plan.stages[0].sources
        if len(sources) == 1 and not any(number == sources[0] and _within(one, level) for number, level in marked):
            entries.append((sources[0], (x, one.levels[0])))
        elif len(sources) > 1 and not any(_within(one, level) for _, level in marked):
            entries += [(number, (x, one.levels[0] + 6 * order - 3)) for order, number in enumerate(sources)]
    for number, (to, level) in entries:
        card = next(at for at, one in enumerate(laid) if _within(one, level))
        if number == 0:
            if card == 0:
                canvas.line((left - 14, level), (to, level))
            continue
        if number not in exits:
            continue
        one = laid[exits[number]]
        gutter = one.top + one.height + BETWEEN / 2
        lane = 0 if card == exits[number] + 1 else lanes[number]
        side = left - 8 - LANE * lane
        end = x + one.chains[-1].width
        canvas.line(
            (end, one.levels[-1]),
            (end + 12, one.levels[-1]),
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


def _within(one: Laid, level: float) -> bool:
    return one.top <= level <= one.top + one.height


def _head(anatomy: Measurement, title: str, left: float, wide: float, words: Words) -> list[Shape]:
    parts = [
        f"photo {times(words.shown[0])}",
        counted(anatomy.parameters, "parameters"),
        counted(anatomy.macs, "MACs"),
        f"{anatomy.depth} layer{'s' if anatomy.depth != 1 else ''} with weights",
        f"{anatomy.path} on the longest path",
    ]
    shapes: list[Shape] = [Text(left, MARGIN + 16, title, 18, True)]
    for at, line in enumerate(wrapped(" · ".join(parts), wide, LINE)):
        shapes.append(Text(left, MARGIN + 35 + 15 * at, line, LINE, fill=GREY))
    return shapes


def _legend(
    anatomy: Measurement, plans: Sequence[Plan], words: Words, left: float, top: float, wide: float
) -> list[Shape]:
    """Return a swatch for each gene that is drawn, and the meaning of the marks."""
    drawn = [words.layers[number] for plan in plans for number in numbers(plan.sketch) if number > 0]
    loci = {layer.locus for layer in drawn}
    loci |= {"dense", "activation"} if any(layer.kind == "recurrence" for layer in drawn) else set()
    there = {locus if locus in MEANINGS else "other" for locus in loci}
    shapes: list[Shape] = []
    x, y = left, top + 4
    for locus, meaning in MEANINGS.items():
        if locus not in there:
            continue
        step = 18 + text_width(meaning, SMALL) + 14
        if x + step > left + wide:
            x, y = left, y + 18
        shapes += [Box(x, y, 13, 11, colour(locus), INK, 2), Text(x + 18, y + 9, meaning, SMALL, fill=GREY)]
        x += step
    rates = [float(layer.setting) for layer in anatomy.layers if layer.kind == "stochastic depth"]
    notes = "On the arrows: height × width × channels, where they change. ×N: blocks that come N times, drawn once."
    told = dict.fromkeys(SIDES[key] for layer in drawn if (key := (layer.kind, layer.locus)) in SIDES)
    notes += f" Of capsules: {'; '.join(told)}." if told else ""
    notes += f" While it is trained, blocks are dropped at rates up to {max(rates):.3g}." if rates else ""
    beside = ", ".join(f"{name} ({counted(number, 'parameters')})" for name, number in anatomy.aside)
    notes += f" Not on the way to the answer, and not drawn: {beside}." if beside else ""
    for at, line in enumerate(wrapped(notes, wide, SMALL)):
        shapes.append(Text(left, y + 30 + 13 * at, line, SMALL, fill=GREY))
    return shapes


def _bottom(shape: Shape) -> float:
    return shape.y + shape.height if isinstance(shape, Box) else shape.y + 3 if isinstance(shape, Text) else 0.0
