"""What a part of a row is to a person: a residual block, an inception module, a gate, a plain layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from convatlas.anatomy.measure.records import Layer
from convatlas.anatomy.structure.tokens import Words
from convatlas.anatomy.structure.wiring import Fork, Part, Row, Web, layers_of

WEIGHING = ("convolution", "dense")


@dataclass(frozen=True)
class Block:
    """A part of a row, with the layer that joins its ways if it has any.

    Attributes:
        kind: "layer"; "identity block", "convolution block" and "pooled block" for sums of a way and the input itself,
            a convolution of it or a pooling of it; "sum"; "dense layer" for what is joined to its own input;
            "module" for ways that are joined; "gate" for attention; "cell" for a web; "fork".
        ways: The ways, each a row; a plain layer has one that holds it.
        join: The layer where they meet; None for a plain layer.
        part: The part itself.
    """

    kind: str
    ways: tuple[Row, ...]
    join: Layer | None
    part: Part

    @property
    def main(self) -> Row:
        """The longest way."""
        return max(self.ways, key=lambda way: len(list(layers_of(way))))


def blocks(row: Row, words: Words) -> Iterator[Block]:
    """The blocks of a row, in order."""
    ahead = iter(range(len(row)))
    for at in ahead:
        part, after = row[at], row[at + 1] if at + 1 < len(row) else None
        if isinstance(part, int):
            if part > 0:
                yield Block("layer", ((part,),), None, part)
            continue
        join = words.layers[after] if isinstance(after, int) and after > 0 else None
        if join is not None and len(join.inputs) < 2:
            join = None
        if join is not None:
            next(ahead)
        if isinstance(part, Web):
            yield Block("cell", tuple(node.row for node in part.nodes), join, part)
        else:
            yield Block(_kind(part, join, words), part.ways, join, part)


def _kind(fork: Fork, join: Layer | None, words: Words) -> str:
    past = any(not way for way in fork.ways)
    if join is None or len(fork.ways) < 2:
        return "fork"
    if join.kind == "product":
        return "gate" if past and len(fork.ways) == 2 else "fork"
    if join.kind == "concatenation":
        return "dense layer" if past and len(fork.ways) == 2 else "module"
    if join.kind != "sum" or len(fork.ways) > 2:
        return "sum" if join.kind == "sum" else "fork"
    if past:
        return "identity block"
    lengths = [_weighing(way, words) for way in fork.ways]
    side = fork.ways[0] if lengths[0] < lengths[1] else fork.ways[1]
    if lengths[0] == lengths[1]:
        return "sum"
    kinds = {words.layers[number].locus for number in layers_of(side)}
    return "pooled block" if kinds <= {"pooling", "padding"} else "convolution block"


def _weighing(row: Row, words: Words) -> int:
    return sum(words.layers[number].locus in WEIGHING for number in layers_of(row) if number > 0)


def weighing(row: Row, words: Words) -> int:
    """Convolutions and dense layers on the longest way through a row, what only computes a gate left aside."""
    total = 0
    for block in blocks(row, words):
        if isinstance(block.part, Web):
            total += _through(block.part, words)
        elif block.kind == "layer":
            total += _weighing(block.ways[0], words)
        elif block.kind != "gate":
            total += max(weighing(way, words) for way in block.ways)
        total += block.join is not None and block.join.locus in WEIGHING
    return total


def _through(web: Web, words: Words) -> int:
    longest: list[int] = []
    for node in web.nodes:
        before = max((longest[at] for at in node.inputs if at >= 0), default=0)
        longest.append(before + weighing(node.row, words))
    return max(longest[at] for at in web.ends if at >= 0)
