"""Recognize the blocks of a chain: residual blocks, inception modules, gates, plain layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from convatlas.anatomy.measure.records import Layer
from convatlas.anatomy.structure.tokens import Words
from convatlas.anatomy.structure.wiring import Chain, Fork, Graph, Part, layers_of

WEIGHTED = ("convolution", "dense")
"""Loci of the layers that the length of a path counts."""


@dataclass(frozen=True)
class Block:
    """A part of a chain, with the layer that joins its branches if it has any.

    Attributes:
        kind: "layer"; "identity block", "convolution block" and "pooled block" for the sum of a branch and the input, a
            convolution of it or a pooling of it; "sum"; "dense layer" for a branch concatenated with its input;
            "module" for concatenated branches; "gate" for attention; "cell" for a graph; "fork".
        branches: The branches, each a chain; a plain layer has one that holds it.
        join: The layer where the branches meet; None for a plain layer.
        part: The part itself.
    """

    kind: str
    branches: tuple[Chain, ...]
    join: Layer | None
    part: Part

    @property
    def main(self) -> Chain:
        """Longest branch."""
        return max(self.branches, key=lambda branch: len(list(layers_of(branch))))


def blocks(row: Chain, words: Words) -> Iterator[Block]:
    """Yield the blocks of a chain, in order."""
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
        if isinstance(part, Graph):
            yield Block("cell", tuple(node.chain for node in part.nodes), join, part)
        else:
            yield Block(_kind(part, join, words), part.branches, join, part)


def _kind(fork: Fork, join: Layer | None, words: Words) -> str:
    shortcut = any(not branch for branch in fork.branches)
    if join is None or len(fork.branches) < 2:
        return "fork"
    if join.kind == "product":
        return "gate" if shortcut and len(fork.branches) == 2 else "fork"
    if join.kind == "concatenation":
        return "dense layer" if shortcut and len(fork.branches) == 2 else "module"
    if join.kind != "sum" or len(fork.branches) > 2:
        return "sum" if join.kind == "sum" else "fork"
    if shortcut:
        return "identity block"
    lengths = [_count_weighted(branch, words) for branch in fork.branches]
    side = fork.branches[0] if lengths[0] < lengths[1] else fork.branches[1]
    if lengths[0] == lengths[1]:
        return "sum"
    kinds = {words.layers[number].locus for number in layers_of(side) if number > 0}
    return "pooled block" if kinds <= {"pooling", "padding"} else "convolution block"


def _count_weighted(row: Chain, words: Words) -> int:
    return sum(words.layers[number].locus in WEIGHTED for number in layers_of(row) if number > 0)


def longest_path(row: Chain, words: Words) -> int:
    """Return how many convolutions and dense layers the longest path through a chain has, gates not counted."""
    total = 0
    for block in blocks(row, words):
        if isinstance(block.part, Graph):
            total += _longest_path_in_graph(block.part, words)
        elif block.kind == "layer":
            total += _count_weighted(block.branches[0], words)
        elif block.kind != "gate":
            total += max(longest_path(branch, words) for branch in block.branches)
        total += block.join is not None and block.join.locus in WEIGHTED
    return total


def _longest_path_in_graph(graph: Graph, words: Words) -> int:
    longest: list[int] = []
    for node in graph.nodes:
        before = max((longest[at] for at in node.inputs if at >= 0), default=0)
        longest.append(before + longest_path(node.chain, words))
    return max(longest[at] for at in graph.ends if at >= 0)
