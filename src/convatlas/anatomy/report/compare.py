"""Compare two nets in words: their DNA is aligned, and equal differences are reported once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from convatlas.anatomy.measure.measure import measure
from convatlas.anatomy.measure.records import Measurement
from convatlas.anatomy.report.align import LAYERS, Pair, Piece, Token, align_pieces, match_tokens, merge_plain, pieces
from convatlas.anatomy.report.phrases import change_text, layer_text, place_of, run_text
from convatlas.base.records import Record
from convatlas.base.tables import Column, Table, plain
from convatlas.nets.example_inputs import Shapes

ALIKE = "layers written alike that read or give other numbers of channels"

GENES = ("convolution", "dense", "pooling", "flattening", "normalization", "activation", "attention", "skip")
"""Loci whose genes are always counted; others are counted where they have weights."""

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

    figure: str
    first: object
    second: object
    difference: int | None


@dataclass(frozen=True)
class Gene:
    """How often each of two nets has a gene, and how many more parameters the second has in it."""

    locus: str
    kind: str
    first: int
    second: int
    parameters: int


@dataclass(frozen=True)
class Difference:
    """One difference.

    Attributes:
        change: The change from the first net to the second, in words.
        times: How often it occurs.
        places: Names of the blocks where it occurs: of the second net if it has them, else of the first.
        parameters: How many more parameters the second net has by it; over all differences they add up to the total.
    """

    change: str
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
            "The parameters of all differences add up to the difference of the totals."
        )
        rows = [vars(difference) | {"places": _spread(difference.places)} for difference in self.differences]
        title = f"{self.first} and {self.second}"
        return [
            Table((Column("figure", "figure"), *named, DIFFERENCE, share), totals, title=title),
            Table(
                (Column("locus", "locus"), Column("kind", "gene"), *named, MORE),
                [vars(gene) for gene in self.genes],
                title=f"{title}: genes in other numbers",
            ),
            Table(COLUMNS, rows, title=f"from {self.first} to {self.second}", notes=(note,)),
        ]

    def __str__(self) -> str:
        return "\n".join(
            f"{case.change}: {case.times} × in {_spread(case.places)}, {case.parameters:+,} parameters"
            for case in self.differences
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
COLUMNS = (Column("change", "what differs"), Column("times", "times"), Column("places", "where"), MORE)


def compare(
    first: str | nn.Module | Measurement,
    second: str | nn.Module | Measurement,
    *,
    inputs: object = None,
    input_shape: Shapes | None = None,
) -> Comparison:
    """Compare two nets.

    Args:
        first: The name of a net, a module or the address of one, or a measured net.
        second: The net that `first` is compared with.
        inputs: Inputs of both nets, as in `measure`.
        input_shape: Shape of the input of both nets, as in `measure`.

    Returns:
        Totals and genes of both, and the differences in words, the largest first.

    Raises:
        ConvAtlasError: As `measure` does.
    """
    net, partner = (
        value if isinstance(value, Measurement) else measure(value, inputs=inputs, input_shape=input_shape)
        for value in (first, second)
    )
    sides = merge_plain(pieces(net), pieces(partner))
    occurrences: dict[str, list[tuple[str, int]]] = {}
    common = 0
    for pair in align_pieces(*sides):
        for change, place, parameters, both in _differences(pair):
            common += both
            if change:
                occurrences.setdefault(change, []).append((place, parameters))
    for change, name, parameters in _apart(net, partner):
        occurrences.setdefault(change, []).append((name, parameters))
    differences = [
        Difference(
            change, len(cases), tuple(dict.fromkeys(place for place, _ in cases)), sum(more for _, more in cases)
        )
        for change, cases in occurrences.items()
        if change != ALIKE or any(more for _, more in cases)
    ]
    differences.sort(key=lambda case: (case.change == ALIKE, -abs(case.parameters), -case.times, case.change))
    layers = sum(len(token.layers) for side in sides for piece in side for token in piece.tokens)
    names = net.name, partner.name
    if net.name == partner.name:
        names = f"{net.name} (first)", f"{partner.name} (second)"
    shared = 2 * common / max(layers, 1)
    return Comparison(*names, _totals(net, partner), _genes(net, partner), tuple(differences), shared)


def _totals(net: Measurement, partner: Measurement) -> tuple[Total, ...]:
    rows = net.row(), partner.row()
    pairs = [(name, rows[0][key], rows[1][key]) for key, name in FIGURES.items()]
    pairs.append(("receptive field", net.receptive_field, partner.receptive_field))
    return tuple(
        Total(name, a, b, b - a if isinstance(a, int) and isinstance(b, int) else None) for name, a, b in pairs
    )


def _genes(first: Measurement, second: Measurement) -> tuple[Gene, ...]:
    counts: dict[tuple[str, str], list[int]] = {}
    for side, net in enumerate((first, second)):
        for layer in net.layers:
            if (layer.locus in GENES and layer.kind != "identity") or layer.parameters:
                count = counts.setdefault((layer.locus, layer_text(layer)), [0, 0, 0])
                count[side] += 1
                count[2] += layer.parameters if side else -layer.parameters
    genes = [Gene(*gene, *count) for gene, count in counts.items() if count[0] != count[1] or count[2]]
    return tuple(sorted(genes, key=lambda gene: [*GENES, gene.locus].index(gene.locus)))


def _apart(net: Measurement, partner: Measurement) -> Iterator[tuple[str, str, int]]:
    """Yield the differences in unused parts and in constants: words, the part's name, more parameters."""
    for own, others, place in (
        (dict(net.unused), dict(partner.unused), "not used by the output"),
        (_constants(net), _constants(partner), "computed from weights alone"),
    ):
        for name in dict.fromkeys((*own, *others)):
            more = others.get(name, 0) - own.get(name, 0)
            change = "no" if name not in others else "one more" if name not in own else "other weights"
            if more or change != "other weights":
                yield f"{change}: {name}, {place}", name, more


def _constants(net: Measurement) -> dict[str, int]:
    return {layer.name: layer.parameters for layer in net.constants if layer.parameters}


def _differences(pair: Pair[Piece]) -> Iterator[tuple[str, str, int, int]]:
    """Yield the differences of two pieces: words ("" if none), place, more parameters, layers that both have."""
    first, second = pair
    if first is None or second is None:
        piece = first or second
        assert piece is not None
        sign = 1 if first is None else -1
        total = sum(token.parameters for token in piece.tokens)
        kind = run_text(piece.tokens) if piece.kind == LAYERS else f"{piece.kind} {run_text(piece.tokens)}"
        yield f"{'one more' if sign > 0 else 'no'}: {kind}", place_of(piece.tokens), sign * total, 0
        return
    pairs = match_tokens(first.tokens, second.tokens)
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
        change = ALIKE if a.word == b.word else change_text(a, b)
        yield change, place_of([b]), b.parameters - a.parameters, len(b.layers)


def _run(
    run: Sequence[Token], side: int, last: Token | None, rest: Sequence[Token]
) -> Iterator[tuple[str, str, int, int]]:
    """Yield the difference made by tokens that only one net has, between the token `last` and the `rest`."""
    if any(token.layers for token in run):
        text = f"{'' if side > 0 else 'no '}{run_text(run)}{_where(last, rest)}"
        yield text, place_of(run), side * sum(token.parameters for token in run), 0


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
    return f" after {layer_text(last.layers[-1])}"
