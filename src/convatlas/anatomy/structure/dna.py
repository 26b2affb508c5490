"""Write a net's DNA: its genes as one short sequence, stage by stage.

    224x224x3 | stem: c7/2-64b bn relu max3/2:zeros | conv2: (c1-256b bn + c1-64b bn relu ...) relu [(. + ...) relu]x2

The grammar. A net is its photo's size and its stages, each a chain of items. An item is

- a word, one layer: see `Word`. `c3/2-64` is a 3 x 3 convolution of stride 2 to 64 maps;
- a fork, `(a + b)`: parallel branches that are added, multiplied `(a * b)`, concatenated `(a , b)`, or read by the
  layer after them `(a & b)`. The branch `.` is the input itself;
- a repeat, `[chain]x3`;
- a graph, `{a=. c1-8; b=. c3-8; c=a+b relu; b,c}`: named chains, each beginning with its inputs; the last entry lists
  the chains that the next layer reads, with the sign that joins them;
- an output of an earlier stage: `<-2>` of the stage before the last, `<-2.1>` the second output of that stage,
  `<photo>` the photo. A stage without such a mark reads the stage before it.

Equal nets have equal DNA. Layers that act only in training (stochastic depth) appear as a rate at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_lowercase

from convatlas.anatomy.measure.records import Measurement
from convatlas.anatomy.structure.repeats import runs
from convatlas.anatomy.structure.stages import Stage, one_stage, port, stages
from convatlas.anatomy.structure.tokens import JOINS, Words
from convatlas.anatomy.structure.wiring import Chain, Fork, Graph, Part
from convatlas.base.records import Record

Name = Callable[[int], str]

AFTER = (
    "bn", "ln", "gn", "in ", "lrn", "relu", "leaky", "silu", "gelu", "hswish", "elu", "prelu", "tanh", "logistic",
    "channel-shuffle",
)  # fmt: skip
"""Beginnings of words that end a unit rather than start one: a repeat starts at another word where it can."""


@dataclass(frozen=True)
class Dna(Record):
    """A net's DNA.

    Attributes:
        net: The net's name.
        photo: Height, width and channels of its photo.
        stages: Names and chains in order; equal neighbours are one, named after the first and the last.
        rates: Rates that only training uses.
        whole: The net as one chain, however its author divided it into stages.
    """

    net: str
    photo: tuple[int, ...]
    stages: tuple[tuple[str, str], ...]
    rates: tuple[str, ...]
    whole: str

    def __str__(self) -> str:
        return " | ".join(self.lines())

    def lines(self) -> list[str]:
        """Return the sequence, one stage a line."""
        rows = [f"{name}: {row}" for name, row in self.stages]
        return ["x".join(map(str, self.photo)), *rows, *self.rates]

    @property
    def genes(self) -> str:
        """The sequence without its division into stages: equal for the same net from two libraries."""
        return " | ".join(["x".join(map(str, self.photo)), self.whole, *self.rates])


def dna(anatomy: Measurement) -> Dna:
    """Return the DNA of a measured net."""
    net_stages, words = stages(anatomy), Words(anatomy)
    rows = [spell(stage.chain, words, _names(at, net_stages)) for at, stage in enumerate(net_stages)]
    rows = [_input_mark(at, net_stages) + row for at, row in enumerate(rows)]
    kept: list[tuple[str, str]] = []
    for run in runs(rows):
        last = run.start + run.length * run.times - 1
        if run.length == 1 < run.times:
            kept.append((f"{net_stages[run.start].name}-{net_stages[last].name}", f"[{rows[last]}]x{run.times}"))
        else:
            kept += [(net_stages[at].name, rows[at]) for at in range(run.start, last + 1)]
    shape = anatomy.input
    photo = (*shape[1:], shape[0]) if len(shape) == 3 else shape
    most = max((float(layer.setting) for layer in anatomy.layers if layer.kind == "stochastic depth"), default=0.0)
    rates = (f"stochastic depth to {most:.4g}",) if most else ()
    return Dna(anatomy.name, photo, tuple(kept), rates, spell(one_stage(anatomy).chain, words, _names(0, [])))


def _names(at: int, net_stages: list[Stage]) -> Name:
    """Return the function that names an earlier stage's output by how many stages before stage `at` it lies."""

    def name(number: int) -> str:
        if number == 0:
            return "<photo>"
        for back, stage in enumerate(reversed(net_stages[:at]), 1):
            if number in stage.outputs:
                place = stage.outputs.index(number)
                return f"<-{back}.{place}>" if place else f"<-{back}>"
        raise LookupError(f"layer {number} is not an output of an earlier stage")

    return name


def _input_mark(at: int, net_stages: list[Stage]) -> str:
    """Return the mark of a stage's input, "" where that is the only output of the stage before."""
    sources = net_stages[at].sources
    usual = net_stages[at - 1].outputs if at else (0,)
    return "" if len(sources) > 1 or sources == usual[:1] else f"{_names(at, net_stages)(sources[0])} "


def spell(row: Chain, words: Words, name: Name) -> str:
    """Return a chain as it stands in DNA; `name` names outputs of other stages."""
    items = itemize(row, words, name)
    written: list[str] = []
    for run in runs(items, [not item.startswith(AFTER) for item in items]):
        once = " ".join(items[run.start : run.start + run.length])
        written.append(once if run.times == 1 else f"[{once}]x{run.times}")
    return " ".join(written)


def itemize(row: Chain, words: Words, name: Name) -> list[str]:
    """Return the items of a chain, before repeats are folded; a fork includes the layer that joins its branches."""
    items: list[str] = []
    ahead = iter(range(len(row)))
    for at in ahead:
        part, after = row[at], row[at + 1] if at + 1 < len(row) else None
        if isinstance(part, int):
            items.append(name(port(part)) if part < 0 else str(words.word(part)))
            continue
        sign, joined = _sign(after, words)
        items.append(_fork(part, sign, words, name) if isinstance(part, Fork) else _graph(part, sign, words, name))
        if joined:
            next(ahead)
    return items


def _sign(after: Part | None, words: Words) -> tuple[str, bool]:
    """Return the sign that joins the branches before a part, and whether the sign stands for the part itself."""
    if isinstance(after, int) and after > 0 and words.layers[after].kind in JOINS:
        return str(words.word(after)), True
    return "&", False


def _fork(fork: Fork, sign: str, words: Words, name: Name) -> str:
    branches = [spell(branch, words, name) or "." for branch in fork.branches]
    if sign in ("+", "*"):
        # The order of these branches does not matter: short ones come first.
        branches.sort(key=lambda branch: (len(branch), branch))
    return "(" + f" {sign} ".join(branches) + ")"


def _graph(graph: Graph, sign: str, words: Words, name: Name) -> str:
    texts: list[str] = []
    for at, node in enumerate(graph.nodes):
        row, mark, first = node.chain, "&", node.chain[0]
        if len(node.inputs) > 1:
            mark, joined = _sign(first, words)
            row = row[1:] if joined else row
        begins = [] if isinstance(first, int) and first < 0 else [mark.join(map(_letter, node.inputs))]
        rest = spell(row, words, name)
        texts.append(f"{_letter(at)}=" + " ".join([*begins, *([rest] if rest else [])]))
    return "{" + "; ".join([*texts, sign.join(map(_letter, graph.ends))]) + "}"


def _letter(at: int) -> str:
    """Return the name of a node: a, b, ..., z, aa, ab, ...; `.` for the graph's input."""
    if at < 0:
        return "."
    before = _letter(at // 26 - 1) if at >= 26 else ""
    return before + ascii_lowercase[at % 26]
