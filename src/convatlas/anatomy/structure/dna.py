"""A net's DNA: its genes as one short sequence, stage by stage.

    224x224x3 | stem: c7/2-64b bn relu max3/2:zeros | conv2: (c1-256b bn + c1-64b bn relu ...) relu [(. + ...) relu]x2

The grammar. A net is its photo's size and its stages, each a row of items. An item is

- a word, one layer: see `Word`. `c3/2-64` is a 3 x 3 convolution of stride 2 to 64 maps;
- a fork, `(a + b)`: ways side by side that are added, multiplied `(a * b)`, joined by channel `(a , b)`, or read by the
  layer after them `(a & b)`. The way `.` is what came in, passed by;
- a repeat, `[row]x3`;
- a web, `{a=. c1-8; b=. c3-8; c=a+b relu; b,c}`: rows with names, each beginning with what it reads; what stands last
  is read by the layer after, joined by its sign;
- what another stage gave: `<-2>` the one before the last, `<-2.1>` its second output, `<photo>` the photo. A stage that
  begins with none reads the one before.

Equal nets have equal DNA. What changes only while a net is trained (stochastic depth) stands at the end as a rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_lowercase

from convatlas.anatomy.measure.records import Measurement
from convatlas.anatomy.structure.repeats import runs
from convatlas.anatomy.structure.stages import Stage, port, stages
from convatlas.anatomy.structure.tokens import JOINS, Words
from convatlas.anatomy.structure.wiring import Fork, Part, Row, Web
from convatlas.base.records import Record

Name = Callable[[int], str]

AFTER = (
    "bn", "ln", "gn", "in ", "lrn", "relu", "leaky", "silu", "gelu", "hswish", "elu", "prelu", "tanh", "logistic",
    "channel-shuffle",
)  # fmt: skip
"""How words begin that end a unit rather than begin one: a repeat begins at another one, if it can."""


@dataclass(frozen=True)
class Dna(Record):
    """A net's DNA.

    Attributes:
        net: Its name.
        photo: Height, width and channels of its photo.
        stages: Names and rows, in order; equal ones in a row are one, named after the first and the last.
        rates: Those that only training uses.
    """

    net: str
    photo: tuple[int, ...]
    stages: tuple[tuple[str, str], ...]
    rates: tuple[str, ...]

    def __str__(self) -> str:
        return " | ".join(self.lines())

    def lines(self) -> list[str]:
        """The sequence, a stage a line."""
        rows = [f"{name}: {row}" for name, row in self.stages]
        return ["x".join(map(str, self.photo)), *rows, *self.rates]

    @property
    def genes(self) -> str:
        """The sequence without the stages' names: equal for two makers' versions of one net."""
        return " | ".join(["x".join(map(str, self.photo)), *(row for _, row in self.stages), *self.rates])


def dna(anatomy: Measurement) -> Dna:
    """The DNA of a measured net."""
    found, words = stages(anatomy), Words(anatomy)
    rows = [spelled(stage.row, words, _names(at, found)) for at, stage in enumerate(found)]
    rows = [_opened(at, found) + row for at, row in enumerate(rows)]
    kept: list[tuple[str, str]] = []
    for run in runs(rows):
        last = run.start + run.length * run.times - 1
        if run.length == 1 < run.times:
            kept.append((f"{found[run.start].name}-{found[last].name}", f"[{rows[last]}]x{run.times}"))
        else:
            kept += [(found[at].name, rows[at]) for at in range(run.start, last + 1)]
    shape = anatomy.input
    photo = (*shape[1:], shape[0]) if len(shape) == 3 else shape
    most = max((float(one.setting) for one in anatomy.layers if one.kind == "stochastic depth"), default=0.0)
    rates = (f"stochastic depth to {most:.4g}",) if most else ()
    return Dna(anatomy.name, photo, tuple(kept), rates)


def _names(at: int, found: list[Stage]) -> Name:
    """How a stage calls what another one gave: by how many stages back it was."""

    def name(number: int) -> str:
        if number == 0:
            return "<photo>"
        for back, stage in enumerate(reversed(found[:at]), 1):
            if number in stage.outputs:
                place = stage.outputs.index(number)
                return f"<-{back}.{place}>" if place else f"<-{back}>"
        raise LookupError(f"layer {number} is no output of an earlier stage")

    return name


def _opened(at: int, found: list[Stage]) -> str:
    """What a stage reads, where it is not the only output of the one before."""
    sources = found[at].sources
    usual = found[at - 1].outputs if at else (0,)
    return "" if len(sources) > 1 or sources == usual[:1] else f"{_names(at, found)(sources[0])} "


def spelled(row: Row, words: Words, name: Name) -> str:
    """A row of parts as it stands in DNA; `name` gives the names of the ports."""
    items = itemized(row, words, name)
    written: list[str] = []
    for run in runs(items, [not item.startswith(AFTER) for item in items]):
        once = " ".join(items[run.start : run.start + run.length])
        written.append(once if run.times == 1 else f"[{once}]x{run.times}")
    return " ".join(written)


def itemized(row: Row, words: Words, name: Name) -> list[str]:
    """The items of a row, before repeats are looked for; a fork takes the layer that joins its ways with it."""
    items: list[str] = []
    ahead = iter(range(len(row)))
    for at in ahead:
        part, after = row[at], row[at + 1] if at + 1 < len(row) else None
        if isinstance(part, int):
            items.append(name(port(part)) if part < 0 else str(words.word(part)))
            continue
        sign, joined = _sign(after, words)
        items.append(_fork(part, sign, words, name) if isinstance(part, Fork) else _web(part, sign, words, name))
        if joined:
            next(ahead)
    return items


def _sign(after: Part | None, words: Words) -> tuple[str, bool]:
    """How the ways before a part are joined, and whether the sign stands for the part itself."""
    if isinstance(after, int) and after > 0 and words.layers[after].kind in JOINS:
        return str(words.word(after)), True
    return "&", False


def _fork(fork: Fork, sign: str, words: Words, name: Name) -> str:
    ways = [spelled(way, words, name) or "." for way in fork.ways]
    if sign in ("+", "*"):
        # Their order is nobody's business: short ones stand first.
        ways.sort(key=lambda way: (len(way), way))
    return "(" + f" {sign} ".join(ways) + ")"


def _web(web: Web, sign: str, words: Words, name: Name) -> str:
    texts: list[str] = []
    for at, node in enumerate(web.nodes):
        row, mark, first = node.row, "&", node.row[0]
        if len(node.inputs) > 1:
            mark, joined = _sign(first, words)
            row = row[1:] if joined else row
        begins = [] if isinstance(first, int) and first < 0 else [mark.join(map(_letter, node.inputs))]
        rest = spelled(row, words, name)
        texts.append(f"{_letter(at)}=" + " ".join([*begins, *([rest] if rest else [])]))
    return "{" + "; ".join([*texts, sign.join(map(_letter, web.ends))]) + "}"


def _letter(at: int) -> str:
    """a, b, ..., z, aa, ab, ...; `.` for the web's input."""
    if at < 0:
        return "."
    before = _letter(at // 26 - 1) if at >= 26 else ""
    return before + ascii_lowercase[at % 26]
