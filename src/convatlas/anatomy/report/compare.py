"""Compare two nets in words: their DNA is aligned, and equal differences are reported once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from convatlas.anatomy.measure.measure import measure
from convatlas.anatomy.measure.records import Measurement
from convatlas.anatomy.report.align import LAYERS, Pair, Piece, Token, aligned, joined, matched, pieces
from convatlas.anatomy.report.phrases import changed, named, place, told
from convatlas.base.records import Record
from convatlas.base.tables import Column, Table, plain

ALIKE = "layers written alike that read or give other numbers of channels"

GENES = ("convolution", "dense", "pooling", "flattening", "normalization", "activation", "attention", "skip")
"""Loci whose genes are counted side by side; others where they have weights."""

FIGURES = {
    "input": "photo",
    "output": "output",
    "path": "layers on the longest path",
    "depth": "layers with weights",
    "parameters": "parameters",
    "trainable": "trainable parameters",
    "macs": "MACs",
    "memory": "bytes of activations",
}


@dataclass(frozen=True)
class Total:
    """A figure of both nets, and by how much the second is larger where both are numbers."""

    what: str
    first: object
    second: object
    difference: int | None


@dataclass(frozen=True)
class Gene:
    """How often both nets have a gene, and how many more parameters the second has in it."""

    locus: str
    what: str
    first: int
    second: int
    parameters: int


@dataclass(frozen=True)
class Difference:
    """One difference.

    Attributes:
        what: In words, from the first net to the second.
        times: How often.
        places: Names of the second net's blocks where it is, of the first's if it is only there.
        parameters: How many more the second net has by it; all differences together give the totals' difference.
    """

    what: str
    times: int
    places: tuple[str, ...]
    parameters: int


@dataclass(frozen=True)
class Comparison(Record):
    """Two nets: their totals, genes whose numbers differ, and the differences with their places, largest first.

    `shared` is the share of both nets' layers that have a counterpart in the other one.
    """

    first: str
    second: str
    totals: tuple[Total, ...]
    genes: tuple[Gene, ...]
    differences: tuple[Difference, ...]
    shared: float

    def tables(self) -> list[Table]:
        """Return the totals, genes and differences as tables."""
        totals = [vars(total) | {"share": _share(total)} for total in self.totals]
        named = (Column("first", self.first, _shown), Column("second", self.second, _shown))
        share = Column("share", "as share")
        note = (
            f"{self.shared:.0%} of the layers have a counterpart in the other net. "
            "The parameters of all differences add up to that of the totals."
        )
        rows = [vars(one) | {"places": _spread(one.places)} for one in self.differences]
        title = f"{self.first} and {self.second}"
        return [
            Table((Column("what", "what"), *named, DIFFERENCE, share), totals, title=title),
            Table(
                (Column("locus", "locus"), Column("what", "gene"), *named, MORE),
                [vars(gene) for gene in self.genes],
                title=f"{title}: genes in other numbers",
            ),
            Table(COLUMNS, rows, title=f"from {self.first} to {self.second}", notes=(note,)),
        ]

    def __str__(self) -> str:
        return "\n".join(
            f"{one.what}: {one.times} × in {_spread(one.places)}, {one.parameters:+,} parameters"
            for one in self.differences
        )


def _signed(number: int | None) -> str:
    return "" if number is None else f"{number:+,}"


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else plain(value)


def _share(total: Total) -> str:
    numbers = total.difference is not None and isinstance(total.first, int)
    return f"{total.difference / total.first:+.1%}" if numbers and total.first else ""  # type: ignore[operator]


def _spread(places: Sequence[str]) -> str:
    return places[0] if len(places) == 1 else f"{places[0]} – {places[-1]}" if places else ""


DIFFERENCE = Column("difference", "difference", _signed)
MORE = Column("parameters", "parameters", _signed)
COLUMNS = (Column("what", "what differs"), Column("times", "times"), Column("places", "where"), MORE)


def compare(first: str | nn.Module | Measurement, second: str | nn.Module | Measurement) -> Comparison:
    """What differs between two nets.

    Args:
        first: The name of a net of the atlas, any module of your own or where to find it, or a net that was measured.
        second: The same.

    Returns:
        Totals and genes of both, and the differences in words, the largest first.

    Raises:
        ConvAtlasError: As `measure` does.
    """
    one, other = (net if isinstance(net, Measurement) else measure(net) for net in (first, second))
    sides = joined(pieces(one), pieces(other))
    found: dict[str, list[tuple[str, int]]] = {}
    common = 0
    for pair in aligned(*sides):
        for what, where, parameters, both in _differences(pair):
            common += both
            if what:
                found.setdefault(what, []).append((where, parameters))
    for what, name, parameters in _beside(one, other):
        found.setdefault(what, []).append((name, parameters))
    differences = [
        Difference(what, len(all_), tuple(dict.fromkeys(where for where, _ in all_)), sum(more for _, more in all_))
        for what, all_ in found.items()
        if what != ALIKE or any(more for _, more in all_)
    ]
    differences.sort(key=lambda one: (one.what == ALIKE, -abs(one.parameters), -one.times, one.what))
    layers = sum(len(token.layers) for side in sides for piece in side for token in piece.tokens)
    names = (one.name, other.name) if one.name != other.name else (f"{one.name} (first)", f"{other.name} (second)")
    return Comparison(*names, _totals(one, other), _genes(one, other), tuple(differences), 2 * common / max(layers, 1))


def _totals(one: Measurement, other: Measurement) -> tuple[Total, ...]:
    rows = one.row(), other.row()
    pairs = [(what, rows[0][key], rows[1][key]) for key, what in FIGURES.items()]
    pairs.append(("receptive field", one.receptive_field, other.receptive_field))
    return tuple(
        Total(what, a, b, b - a if isinstance(a, int) and isinstance(b, int) else None) for what, a, b in pairs
    )


def _genes(one: Measurement, other: Measurement) -> tuple[Gene, ...]:
    counts: dict[tuple[str, str], list[int]] = {}
    for side, net in enumerate((one, other)):
        for layer in net.layers:
            if (layer.locus in GENES and layer.kind != "identity") or layer.parameters:
                count = counts.setdefault((layer.locus, told(layer)), [0, 0, 0])
                count[side] += 1
                count[2] += layer.parameters if side else -layer.parameters
    found = [Gene(*gene, *count) for gene, count in counts.items() if count[0] != count[1] or count[2]]
    return tuple(sorted(found, key=lambda gene: [*GENES, gene.locus].index(gene.locus)))


def _beside(one: Measurement, other: Measurement) -> Iterator[tuple[str, str, int]]:
    """Yield the differences in parts that the answers do not need: words, the part's name, more parameters."""
    first, second = dict(one.aside), dict(other.aside)
    for name in dict.fromkeys((*first, *second)):
        more = second.get(name, 0) - first.get(name, 0)
        change = "no" if name not in second else "one more" if name not in first else "other weights"
        if more or change != "other weights":
            yield f"{change}: {name}, not on the way to the answer", name, more


def _differences(pair: Pair[Piece]) -> Iterator[tuple[str, str, int, int]]:
    """Yield the differences of two pieces: words ("" if none), place, more parameters, layers that both have."""
    one, other = pair
    if one is None or other is None:
        piece = one or other
        assert piece is not None
        sign = 1 if one is None else -1
        total = sum(token.parameters for token in piece.tokens)
        kind = named(piece.tokens) if piece.kind == LAYERS else f"{piece.kind} {named(piece.tokens)}"
        yield f"{'one more' if sign > 0 else 'no'}: {kind}", place(piece.tokens), sign * total, 0
        return
    pairs = matched(one.tokens, other.tokens)
    last: Token | None = None
    at = 0
    while at < len(pairs):
        a, b = pairs[at]
        if a is not None and b is not None:
            yield from _both(a, b)
            last, at = b, at + 1
            continue
        end = at
        while end < len(pairs) and (pairs[end][0] is None) == (a is None) and None in pairs[end]:
            end += 1
        run = [token for one_pair in pairs[at:end] for token in one_pair if token is not None]
        rest = [token for one_pair in pairs[end:] if (token := one_pair[0 if b is None else 1]) is not None]
        yield from _run(run, 1 if a is None else -1, last, rest)
        at = end


def _both(a: Token, b: Token) -> Iterator[tuple[str, str, int, int]]:
    if a.word is not None and b.word is not None:
        what = ALIKE if a.word == b.word else changed(a, b)
        yield what, place([b]), b.parameters - a.parameters, len(b.layers)


def _run(
    run: Sequence[Token], side: int, last: Token | None, rest: Sequence[Token]
) -> Iterator[tuple[str, str, int, int]]:
    """Yield the difference made by tokens that only one net has, between the token `last` and the `rest`."""
    if any(token.layers for token in run):
        text = f"{'' if side > 0 else 'no '}{named(run)}{_where(last, rest)}"
        yield text, place(run), side * sum(token.parameters for token in run), 0


def _where(last: Token | None, rest: Sequence[Token]) -> str:
    if last is None or not last.layers:
        return " at the beginning"
    way = []
    for token in rest:
        if token.sign[0] in "&)}":
            break
        way.append(token)
    if last.locus in ("normalization", "activation") and not any(token.locus == last.locus for token in way):
        return f" after each block's last {last.locus}"
    return f" after {told(last.layers[-1])}"
