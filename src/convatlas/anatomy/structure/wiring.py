"""Decompose the wiring of a net into chains of layers, forks whose branches meet again, and general graphs.

A region between two layers is cut at the layers that every path passes. The part between two cuts is a fork if it
falls into branches that are otherwise disjoint, else a graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Wires = Mapping[int, Sequence[int]]
"""Numbers of the layers that feed each layer, by its number."""


@dataclass(frozen=True)
class Fork:
    """Parallel branches from the part before to the part after; an empty branch is the tensor itself."""

    branches: tuple[Chain, ...]


@dataclass(frozen=True)
class Node:
    """Layers of a graph in a chain, and the indices of the nodes that feed the first; -1 for the graph's input."""

    chain: Chain
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order; those in `ends` feed the part after."""

    nodes: tuple[Node, ...]
    ends: tuple[int, ...]


Part = int | Fork | Graph
"""A layer, by its number, or several layers."""

Chain = tuple[Part, ...]


def decompose(numbers: Sequence[int], wires: Wires, source: int, sink: int) -> Chain:
    """Return the parts of the layers `numbers`, all on paths from `source` to `sink`; these two are left out."""
    # Walk through the layers in order: one that no wire leads past is a cut, and ends the part between two cuts.
    inner = set(numbers)
    place = {source: -1} | {number: at for at, number in enumerate(numbers)} | {sink: len(numbers)}
    feeds = {number: [feed for feed in wires[number] if feed in inner or feed == source] for number in numbers}
    feeds[sink] = [feed for feed in wires[sink] if feed in inner]
    farthest, passed = _farthest(place, feeds), -1
    parts: list[Part] = []
    begin, between = source, list[int]()
    for number in [*numbers, sink]:
        passed = max(passed, farthest.get(place[number] - 1, -1))
        if passed > place[number]:
            between.append(number)
            continue
        direct = begin in feeds[number] and bool(between)
        parts += _between(between, feeds | {number: feeds[number]}, begin, number, direct)
        parts += [] if number == sink else [number]
        begin, between = number, []
    return tuple(parts)


def _farthest(place: Mapping[int, int], feeds: Wires) -> dict[int, int]:
    """Return, for each place, the farthest place that it feeds."""
    farthest: dict[int, int] = {}
    for number, before in feeds.items():
        for feed in before:
            farthest[place[feed]] = max(farthest.get(place[feed], -1), place[number])
    return farthest


def _between(numbers: Sequence[int], feeds: Wires, source: int, sink: int, direct: bool) -> Iterator[Part]:
    """Yield the part between two cuts, none without layers; `direct` tells whether one cut also feeds the other."""
    if not numbers:
        return
    branches = _components(numbers, feeds)
    if direct or len(branches) > 1:
        # Numbers rise along a branch, so branches are ordered by their first layers.
        rows = [decompose(branch, _without(feeds, source, sink), source, sink) for branch in branches]
        if all(isinstance(branch[-1], int) for branch in rows):
            yield Fork((*([()] if direct else []), *rows))
            return
    # A branch that reaches the end at several places does not belong to a fork.
    yield _graph(numbers, feeds, source, sink)


def _without(feeds: Wires, source: int, sink: int) -> Wires:
    """Return the wires without the one from `source` to `sink`."""
    return {**feeds, sink: [feed for feed in feeds[sink] if feed != source]}


def _components(numbers: Sequence[int], feeds: Wires) -> list[list[int]]:
    """Return the connected components."""
    leader = {number: number for number in numbers}

    def find(number: int) -> int:
        while leader[number] != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number

    for number in numbers:
        for feed in feeds[number]:
            if feed in leader:
                leader[find(feed)] = find(number)
    groups: dict[int, list[int]] = {}
    for number in numbers:
        groups.setdefault(find(number), []).append(number)
    return list(groups.values())


def _graph(numbers: Sequence[int], feeds: Wires, source: int, sink: int) -> Graph:
    """Return the layers of a region as a graph: a layer that is the only reader of its only input extends that node."""
    forks = _forks(numbers, feeds, source, sink)
    hidden = {number for fork in forks.values() for number in layers_of([fork[1]])}
    shown = [number for number in numbers if number not in hidden]
    inputs = {number: [forks[number][0]] if number in forks else list(feeds[number]) for number in shown}
    readers = Counter(feed for before in (*inputs.values(), feeds[sink]) for feed in before)
    nodes: list[Node] = []
    at = {source: -1}
    for number in shown:
        parts: Chain = (forks[number][1], number) if number in forks else (number,)
        before = tuple(dict.fromkeys(at[feed] for feed in inputs[number]))
        if len(inputs[number]) == 1 and before != (-1,) and readers[inputs[number][0]] == 1:
            at[number] = before[0]
            nodes[before[0]] = Node(nodes[before[0]].chain + parts, nodes[before[0]].inputs)
        else:
            at[number] = len(nodes)
            nodes.append(Node(parts, before))
    return Graph(tuple(nodes), tuple(dict.fromkeys(at[feed] for feed in feeds[sink])))


def _forks(numbers: Sequence[int], feeds: Wires, source: int, sink: int) -> dict[int, tuple[int, Part]]:
    """Return the forks in a graph, by the layer where they meet: the layer where they part, and the part between."""
    place = {number: at for at, number in enumerate((source, *numbers))}
    passed: dict[int, set[int]] = {source: {source}}
    readers: dict[int, set[int]] = {}
    for number in [*numbers, sink]:
        passed[number] = set.intersection(*(passed[feed] for feed in feeds[number])) | {number}
        for feed in feeds[number]:
            readers.setdefault(feed, set()).add(number)
    forks: dict[int, tuple[int, Part]] = {}
    taken: set[int] = set()
    for number in reversed(numbers):
        if number in taken or len(feeds[number]) < 2:
            continue
        first = max(passed[number] - {number}, key=place.__getitem__)
        inner = _layers_after(first, number, feeds)
        if any(readers[feed] - inner - {number} for feed in inner):
            continue
        direct = first in feeds[number]
        (part,) = _between([feed for feed in numbers if feed in inner], feeds, first, number, direct)
        forks[number] = first, part
        taken |= inner
    return forks


def _layers_after(first: int, number: int, feeds: Wires) -> set[int]:
    """Return all layers on the paths from `first` to layer `number`, without these two."""
    passed: set[int] = set()
    ahead = [number]
    while ahead:
        new = [feed for feed in feeds[ahead.pop()] if feed != first and feed not in passed]
        passed.update(new)
        ahead += new
    return passed


def layers_of(parts: Iterable[Part]) -> Iterator[int]:
    """Yield the numbers of all layers in the parts, in order."""
    for part in parts:
        if isinstance(part, int):
            yield part
        elif isinstance(part, Fork):
            for branch in part.branches:
                yield from layers_of(branch)
        else:
            for node in part.nodes:
                yield from layers_of(node.chain)
