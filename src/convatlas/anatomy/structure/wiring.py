"""The shape of a wiring: layers in a row, forks whose ways meet again, and webs where neither is so.

A region of a net between two layers is taken apart at the layers that every way passes. What lies between two of them
is a fork, if it falls into ways that touch nowhere else, or a web.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Wires = Mapping[int, Sequence[int]]
"""For each layer's number the numbers of those that feed it."""


@dataclass(frozen=True)
class Fork:
    """Ways side by side, from the part before to the part after; an empty way is the tensor itself, passed by."""

    ways: tuple[Row, ...]


@dataclass(frozen=True)
class Node:
    """Layers of a web one after the other, and the nodes that feed the first: their places, -1 for the web's input."""

    row: Row
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Web:
    """Nodes in an order in which each comes after those that feed it; those in `ends` feed the part after."""

    nodes: tuple[Node, ...]
    ends: tuple[int, ...]


Part = int | Fork | Web
"""A layer, by its number, or several."""

Row = tuple[Part, ...]


def row(numbers: Sequence[int], wires: Wires, source: int, sink: int) -> Row:
    """The parts of the layers `numbers`, all of which lie on ways from `source` to `sink`; these two left out."""
    inner = set(numbers)
    place = {source: -1} | {number: at for at, number in enumerate(numbers)} | {sink: len(numbers)}
    feeds = {number: [one for one in wires[number] if one in inner or one == source] for number in numbers}
    feeds[sink] = [one for one in wires[sink] if one in inner]
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
    """For each place, the farthest one that it feeds."""
    found: dict[int, int] = {}
    for number, before in feeds.items():
        for one in before:
            found[place[one]] = max(found.get(place[one], -1), place[number])
    return found


def _between(numbers: Sequence[int], feeds: Wires, source: int, sink: int, direct: bool) -> Iterator[Part]:
    if not numbers:
        return
    ways = _components(numbers, feeds)
    if direct or len(ways) > 1:
        # Numbers rise along a way, so the order of the ways is that of their first layers.
        rows = [row(way, _without(feeds, source, sink), source, sink) for way in ways]
        if all(isinstance(way[-1], int) for way in rows):
            yield Fork((*([()] if direct else []), *rows))
            return
    # A way that reaches the end at several places is no way of a fork.
    yield _web(numbers, feeds, source, sink)


def _without(feeds: Wires, source: int, sink: int) -> Wires:
    """The wires without the direct one."""
    return {**feeds, sink: [one for one in feeds[sink] if one != source]}


def _components(numbers: Sequence[int], feeds: Wires) -> list[list[int]]:
    """The layers in groups that no wire connects."""
    leader = {number: number for number in numbers}

    def find(number: int) -> int:
        while leader[number] != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number

    for number in numbers:
        for one in feeds[number]:
            if one in leader:
                leader[find(one)] = find(number)
    groups: dict[int, list[int]] = {}
    for number in numbers:
        groups.setdefault(find(number), []).append(number)
    return list(groups.values())


def _web(numbers: Sequence[int], feeds: Wires, source: int, sink: int) -> Web:
    """The layers of a region as nodes: a layer with one input whose only reader it is goes on with its row."""
    forks = _forks(numbers, feeds, source, sink)
    hidden = {number for fork in forks.values() for number in layers_of([fork[1]])}
    shown = [number for number in numbers if number not in hidden]
    inputs = {number: [forks[number][0]] if number in forks else list(feeds[number]) for number in shown}
    readers = Counter(one for before in (*inputs.values(), feeds[sink]) for one in before)
    nodes: list[Node] = []
    at = {source: -1}
    for number in shown:
        parts: Row = (forks[number][1], number) if number in forks else (number,)
        before = tuple(dict.fromkeys(at[one] for one in inputs[number]))
        if len(inputs[number]) == 1 and before != (-1,) and readers[inputs[number][0]] == 1:
            at[number] = before[0]
            nodes[before[0]] = Node(nodes[before[0]].row + parts, nodes[before[0]].inputs)
        else:
            at[number] = len(nodes)
            nodes.append(Node(parts, before))
    return Web(tuple(nodes), tuple(dict.fromkeys(at[one] for one in feeds[sink])))


def _forks(numbers: Sequence[int], feeds: Wires, source: int, sink: int) -> dict[int, tuple[int, Part]]:
    """Layers of a web where all ways from one layer meet and none leaves: which layer, and the part between."""
    place = {number: at for at, number in enumerate((source, *numbers))}
    passed: dict[int, set[int]] = {source: {source}}
    readers: dict[int, set[int]] = {}
    for number in [*numbers, sink]:
        passed[number] = set.intersection(*(passed[one] for one in feeds[number])) | {number}
        for one in feeds[number]:
            readers.setdefault(one, set()).add(number)
    found: dict[int, tuple[int, Part]] = {}
    taken: set[int] = set()
    for number in reversed(numbers):
        if number in taken or len(feeds[number]) < 2:
            continue
        first = max(passed[number] - {number}, key=place.__getitem__)
        inner = _back(number, feeds, first)
        if any(readers[one] - inner - {number} for one in inner):
            continue
        direct = first in feeds[number]
        (part,) = _between([one for one in numbers if one in inner], feeds, first, number, direct)
        found[number] = first, part
        taken |= inner
    return found


def _back(number: int, feeds: Wires, first: int) -> set[int]:
    """All layers on the ways from `first` to a layer."""
    found: set[int] = set()
    ahead = [number]
    while ahead:
        new = [one for one in feeds[ahead.pop()] if one != first and one not in found]
        found.update(new)
        ahead += new
    return found


def layers_of(parts: Iterable[Part]) -> Iterator[int]:
    """The numbers of all layers below, in the order of the parts."""
    for part in parts:
        if isinstance(part, int):
            yield part
        elif isinstance(part, Fork):
            for way in part.ways:
                yield from layers_of(way)
        else:
            for node in part.nodes:
                yield from layers_of(node.row)
