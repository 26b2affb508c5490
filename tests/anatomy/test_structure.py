"""A wiring taken apart says the same as the wiring."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest
from tests.anatomy.once import measured
from tests.nets.nets import SMALL

import convatlas as ca
from convatlas.anatomy.anatomy import Anatomy
from convatlas.anatomy.structure.condense import keep_none
from convatlas.anatomy.structure.stages import port, stages, wires_of
from convatlas.anatomy.structure.wiring import Chain, Fork, Graph, Node, Wires, decompose, layers_of
from convatlas.catalogue.cards import cards

Wire = tuple[int, int]


def wires(parts: Chain, source: int, sink: int) -> Iterator[Wire]:
    """The wires that a row stands for, from `source` to `sink`."""
    ends = [source]
    for part in parts:
        if isinstance(part, int):
            yield from ((end, part) for end in ends)
            ends = [part]
        elif isinstance(part, Fork):
            (source,) = ends
            ends = []
            for branch in part.branches:
                inner = list(wires(branch, source, sink))
                yield from (wire for wire in inner if wire[1] != sink)
                ends += [wire[0] for wire in inner if wire[1] == sink]
        else:
            (source,) = ends
            ends = []
            last: list[list[int]] = []
            for node in part.nodes:
                given = [end for at in node.inputs for end in ([source] if at < 0 else last[at])]
                inner = list(node_wires(node, given, sink))
                yield from (wire for wire in inner if wire[1] != sink)
                last.append([wire[0] for wire in inner if wire[1] == sink])
            ends = [end for at in part.ends for end in ([source] if at < 0 else last[at])]
    yield from ((end, sink) for end in ends)


def node_wires(node: Node, given: Sequence[int], sink: int) -> Iterator[Wire]:
    """Those of a node of a web, whose first part may have several inputs."""
    first, *others = node.chain
    if isinstance(first, int):
        yield from ((one, first) for one in given)
        yield from wires(tuple(others), first, sink)
    else:
        (one,) = given
        yield from wires(node.chain, one, sink)


def random_wires(seed: int) -> dict[int, list[int]]:
    """A wiring of 1 to 14 layers in which each is fed by earlier ones and read by later ones; 0 is the source."""
    draw = random.Random(seed)
    count = draw.randint(1, 14)
    feeds: dict[int, list[int]] = {}
    for number in range(1, count + 1):
        near = range(max(0, number - draw.choice([1, 2, 4])), number)
        feeds[number] = sorted(draw.sample(near, min(len(near), draw.choice([1, 1, 1, 2, 3]))))
    read = {one for before in feeds.values() for one in before}
    feeds[count + 1] = [number for number in range(1, count + 1) if number not in read]
    return feeds


@pytest.mark.parametrize("seed", range(400))
def test_any_wiring_comes_back(seed: int) -> None:
    feeds = random_wires(seed)
    sink = max(feeds)
    numbers = [number for number in feeds if number != sink]
    found = decompose(numbers, feeds, 0, sink)
    assert sorted(layers_of(found)) == numbers
    assert sorted(wires(found, 0, sink)) == sorted((one, number) for number in feeds for one in feeds[number])


@pytest.mark.parametrize("name", [*SMALL, *(name for name in ("yolo_v3", "boosted_lenet4") if name in cards())])
def test_the_wiring_of_nets_comes_back(name: str) -> None:
    anatomy = measured(name)
    check(anatomy)


def check(anatomy: Anatomy) -> None:
    for keep in (keep_none, lambda layer: True):
        original = wires_of(anatomy, keep)
        layers: list[int] = []
        found: set[Wire] = set()
        for stage in stages(anatomy, keep):
            inside = {layer.number for layer in stage.layers}
            source = stage.sources[0] if len(stage.sources) == 1 else -1
            layers += [number for number in layers_of(stage.chain) if number > 0]
            for one, other in wires(stage.chain, source, 10**6):
                if other in inside:
                    found.add((port(one) if one < -1 else one, other))
        assert sorted(layers) == sorted(original)
        assert found == {(one, number) for number, before in original.items() for one in before}


def test_a_bottleneck_is_a_fork() -> None:
    feeds: Wires = {1: [0], 2: [1], 3: [0, 2], 4: [3]}
    assert decompose([1, 2, 3], feeds, 0, 4) == (Fork(((), (1, 2))), 3)


def test_forks_within_forks() -> None:
    feeds: Wires = {1: [0], 2: [0], 3: [2], 4: [2], 5: [3, 4], 6: [1, 5], 7: [6]}
    assert decompose([1, 2, 3, 4, 5, 6], feeds, 0, 7) == (Fork(((1,), (2, Fork(((3,), (4,))), 5))), 6)


def test_ways_that_touch_are_a_web() -> None:
    feeds: Wires = {1: [0], 2: [0], 3: [1], 4: [1, 2], 5: [3, 4], 6: [5]}
    (web, last) = decompose([1, 2, 3, 4, 5], feeds, 0, 6)
    assert last == 5
    assert isinstance(web, Graph)
    assert [node.chain for node in web.nodes] == [(1,), (2,), (3,), (4,)]
    assert [node.inputs for node in web.nodes] == [(-1,), (-1,), (0,), (0, 1)]
    assert web.ends == (2, 3)


def test_a_fork_within_a_web() -> None:
    """NASNet's cells: two maps, and sums of two readings of one of them."""
    feeds: Wires = {1: [0], 2: [0], 3: [1], 4: [1], 5: [3, 4], 6: [1, 2], 7: [5, 6, 2], 8: [7]}
    web, last = decompose([1, 2, 3, 4, 5, 6, 7], feeds, 0, 8)
    assert last == 7
    assert isinstance(web, Graph)
    assert [node.chain for node in web.nodes] == [(1,), (2,), (Fork(((3,), (4,))), 5), (6,)]


def test_stages_are_what_the_author_named() -> None:
    names = [stage.name for stage in stages(measured("resnet50"))]
    assert names == ["stem", "conv2", "conv3", "conv4", "conv5", "head"]


def test_wrappers_are_opened_and_single_layers_gathered() -> None:
    names = [stage.name for stage in stages(ca.measure("torchvision.models:vgg11"))]
    assert names[:3] == ["features.0-2", "features.3-5", "features.6-10"]
    names = [stage.name for stage in stages(ca.measure("torchvision.models:resnet18"))]
    assert names == ["conv1-maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool-fc"]


def test_maps_joined_step_by_step_are_joined_to_their_join() -> None:
    """torchvision's DenseNet joins all maps anew in each layer; ours joins the new one to the old ones."""
    ours, theirs = measured("densenet121"), ca.measure("torchvision.models:densenet121")
    blocks = [stage for stage in stages(theirs) if "denseblock" in stage.name]
    assert [len(stage.chain) for stage in blocks] == [2 * count for count in (6, 12, 24, 16)]
    assert [len(stage.chain) for stage in stages(ours) if stage.name.startswith("dense")] == [12, 24, 48, 32]
