"""Who feeds whom, in the atlas' own nets and in a few of nobody's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import convatlas as ca
from convatlas.anatomy.anatomy import Anatomy
from convatlas.catalogue.cards import cards


def wires(anatomy: Anatomy, prefix: str) -> dict[str, list[str]]:
    """For each layer below `prefix`, the names of those that feed it; "photo" is the photo."""
    names = ["photo", *(layer.name for layer in anatomy.layers)]
    return {
        layer.name.removeprefix(f"{prefix}."): [names[number].removeprefix(f"{prefix}.") for number in layer.inputs]
        for layer in anatomy.layers
        if layer.name.startswith(f"{prefix}.")
    }


def test_a_projected_and_a_plain_residual() -> None:
    anatomy = ca.measure("resnet50", size=64)
    unit = {
        "branch.conv1.norm": ["branch.conv1.conv"],
        "branch.conv1.act": ["branch.conv1.norm"],
        "branch.conv2.conv": ["branch.conv1.act"],
        "branch.conv2.norm": ["branch.conv2.conv"],
        "branch.conv2.act": ["branch.conv2.norm"],
        "branch.conv3.conv": ["branch.conv2.act"],
        "branch.conv3.norm": ["branch.conv3.conv"],
        "act": ["add"],
    }
    assert wires(anatomy, "conv2.block1") == unit | {
        "shortcut.conv": ["stem.pool"],
        "shortcut.norm": ["shortcut.conv"],
        "branch.conv1.conv": ["stem.pool"],
        "add": ["shortcut.norm", "branch.conv3.norm"],
    }
    assert wires(anatomy, "conv2.block2") == unit | {
        "branch.conv1.conv": ["conv2.block1.act"],
        "add": ["conv2.block1.act", "branch.conv3.norm"],
    }
    assert wires(anatomy, "stem")["conv"] == ["photo"]


def test_a_concatenation() -> None:
    layer = wires(ca.measure("densenet121", size=64), "dense1.layer2")
    assert layer["branch.norm1"] == ["dense1.layer1.concat"]
    assert layer["concat"] == ["dense1.layer1.concat", "branch.conv2"]


def test_a_gate() -> None:
    layers = wires(ca.measure("efficientnet_b0", size=64), "stage1.block1.branch")
    assert layers["attention.gate.squeeze"] == ["spatial.act"]
    assert layers["attention.gate.gate"] == ["attention.gate.expand"]
    assert layers["attention.multiply"] == ["spatial.act", "attention.gate.gate"]
    assert layers["project.conv"] == ["attention.multiply"]


@pytest.mark.parametrize("name", list(cards()))
def test_every_layer_is_fed_by_earlier_ones_and_feeds_a_later_one(name: str) -> None:
    layers = ca.measure(name).layers
    assert [layer.number for layer in layers] == list(range(1, len(layers) + 1))
    assert all(layer.inputs and max(layer.inputs) < layer.number for layer in layers)
    assert {number for layer in layers for number in layer.inputs} == set(range(len(layers)))
    assert all(layer.memory == 4 * torch.Size(layer.output).numel() for layer in layers)


class Split(nn.Module):
    """One operation with two outputs, tensors in lists and dictionaries, the photo used late."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, 1)
        y = self.conv(torch.cat([first, second], dim=1))
        kept = {"y": y, "list": [first, y]}
        return torch.cat([*kept["list"], kept["y"], x], 1) - 1


def test_tensors_in_lists_and_several_outputs() -> None:
    anatomy = ca.measure(Split(), size=4)
    rows = [(layer.kind, layer.inputs, layer.output) for layer in anatomy.layers]
    assert rows == [
        ("chunk", (0,), (2, 4, 4)),
        ("concatenation", (1,), (4, 4, 4)),
        ("convolution", (2,), (4, 4, 4)),
        ("concatenation", (1, 3, 0), (14, 4, 4)),
        ("sub", (4,), (14, 4, 4)),
    ]
    # Both halves are kept.
    assert anatomy.layers[0].memory == 4 * 4 * 16


class Longest(nn.Module):
    """Two ways of one and three layers."""

    def __init__(self, long: nn.Module, short: nn.Module) -> None:
        super().__init__()
        self.long, self.short = long, short

    def forward(self, x: Tensor) -> Tensor:
        return self.long(x) + self.short(x)


def conv() -> nn.Module:
    return nn.Conv2d(3, 3, 1)


@pytest.mark.parametrize(
    ("net", "path"),
    [
        (lambda: Longest(nn.Sequential(conv(), conv(), conv()), conv()), 3),
        (lambda: Longest(nn.ReLU(), nn.Identity()), 0),
        (lambda: nn.Sequential(conv(), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)), 2),
        (lambda: Longest(conv(), nn.Sequential(Longest(conv(), nn.ReLU()), conv())), 2),
    ],
)
def test_the_longest_path(net: Callable[[], nn.Module], path: int) -> None:
    assert ca.measure(net(), size=4, channels=3).path == path


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnetv2_b0"])
def test_gates_lengthen_no_path(name: str) -> None:
    gated, plain = ca.measure(name), ca.measure(name, genes={"attention": "none"})
    assert gated.path == plain.path
    assert gated.trainable > plain.trainable
    others = [layer for layer in gated.layers if ".gate." not in layer.name]
    assert sum(layer.kind.endswith("convolution") for layer in gated.layers) > gated.path
    assert sum(layer.locus in ("convolution", "dense") for layer in others) == gated.path


def test_stages_sum_to_the_whole() -> None:
    anatomy = ca.measure("efficientnet_b0")
    rows = anatomy.stages().rows
    assert [row["stage"] for row in rows] == [name for name, _ in ca.build("efficientnet_b0").named_children()]
    for total in ("parameters", "macs", "memory"):
        assert sum(row[total] for row in rows) == getattr(anatomy, total)
    assert sum(row["layers"] for row in rows) == len(anatomy.layers) == len(anatomy.table().rows)


class Parts(nn.Module):
    """A map made in place of two parts, a part of it changed, and a second output that is computed last."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.conv = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        joined = torch.zeros(1, 8, 6, 6, device=x.device)
        joined[:, :4] = self.left(x)
        joined[:, 4:].copy_(self.right(x)).relu_()
        main = self.conv(joined)
        return {"main": main, "mean": main.mean((2, 3))}


def test_what_is_written_into_a_part_of_a_map() -> None:
    anatomy = ca.measure(Parts(), size=8)
    assert [(layer.kind, layer.inputs) for layer in anatomy.layers] == [
        ("convolution", (0,)),
        ("setitem", (1,)),
        ("getitem", (2,)),
        ("convolution", (0,)),
        ("copy", (3, 4)),
        ("ReLU", (5,)),
        ("convolution", (6,)),
        ("global average pooling", (7,)),
    ]
    assert anatomy.output == (2, 6, 6)
    assert anatomy.path == 2


def test_a_part_that_is_only_read_makes_no_map() -> None:
    class Read(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv()

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            part = y[:, :2].contiguous()  # the part itself, which lies in one piece already
            return torch.cat([y, part], 1)

    assert [layer.inputs for layer in ca.measure(Read(), size=4).layers] == [(0,), (1,), (2,), (1, 3)]
