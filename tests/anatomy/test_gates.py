"""Gates of foreign nets are found by their place in the graph, and no layer of theirs is on the longest path."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision import models

import convatlas as ca
from convatlas.anatomy.measure.gates import gates
from convatlas.anatomy.measure.tracing.trace import trace


class Squeezed(nn.Module):
    """A convolution whose maps a gate multiplies: pooled, two layers, a logistic function."""

    def __init__(self, multiply: Callable[[Tensor, Tensor], Tensor], dense: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.down = nn.Linear(8, 2) if dense else nn.Conv2d(8, 2, 1)
        self.up = nn.Linear(2, 8) if dense else nn.Conv2d(2, 8, 1)
        self.dense, self.multiply = dense, multiply

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        pooled = x.mean((2, 3), keepdim=not self.dense)
        return self.multiply(x, self.up(self.down(pooled).relu()).sigmoid())


MULTIPLIED: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], bool]] = {
    "product": (lambda x, gate: x * gate, False),
    "the gate first": (lambda x, gate: gate * x, False),
    "torch.mul": (torch.mul, False),
    "in place": (lambda x, gate: x.mul_(gate), False),
    "expanded": (lambda x, gate: x * gate.expand_as(x), False),
    "dense": (lambda x, gate: x * gate[:, :, None, None], True),
    "dense, viewed and expanded": (lambda x, gate: x * gate.view(1, 8, 1, 1).expand_as(x), True),
    "beside a shortcut": (lambda x, gate: x + x * gate, False),
    "channels last": (lambda x, gate: (x.permute(0, 2, 3, 1) * gate[:, None, None]).permute(0, 3, 1, 2), True),
}


@pytest.mark.parametrize("name", list(MULTIPLIED))
def test_however_it_is_multiplied(name: str) -> None:
    anatomy = ca.measure(nn.Sequential(Squeezed(*MULTIPLIED[name]), nn.Conv2d(8, 2, 1)), size=8)
    assert (anatomy.depth, anatomy.path) == (4, 2)
    assert anatomy.activation == "-"


NO_GATES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], bool]] = {
    "a sum": (lambda x, gate: x + gate, False),
    "also an answer": (lambda x, gate: torch.cat([(x * gate).mean((2, 3), keepdim=True), gate], 1), False),
    "two vectors": (lambda x, gate: x.mean((2, 3)) * gate, True),
}


@pytest.mark.parametrize("name", list(NO_GATES))
def test_what_is_used_otherwise_is_no_gate(name: str) -> None:
    assert ca.measure(Squeezed(*NO_GATES[name]), size=8).path == 3


def test_a_gate_of_positions_that_pools_to_no_single_one_counts() -> None:
    class Spatial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 1, 7, padding=3)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.conv(x).sigmoid()

    assert ca.measure(Spatial(), size=8).path == 1


@pytest.mark.parametrize(
    ("make", "ours", "path"),
    [
        (lambda: timm.create_model("seresnet50"), "se_resnet50", 50),
        (lambda: timm.create_model("ecaresnet50d"), None, 52),
        (lambda: models.efficientnet_b0(weights=None), "efficientnet_b0", None),
        (lambda: models.regnet_y_400mf(weights=None), None, 1 + 16 * 3 + 1),
    ],
    ids=["seresnet50", "ecaresnet50d", "efficientnet_b0", "regnet_y_400mf"],
)
def test_nets_with_gates(make: Callable[[], nn.Module], ours: str | None, path: int | None) -> None:
    measured = ca.measure(make(), size=64)
    if ours is not None:
        assert (measured.path, measured.activation) == (ca.measure(ours).path, ca.measure(ours).activation)
    if path is not None:
        assert measured.path == path


def test_gates_of_ours_are_found_in_the_graph_too() -> None:
    """Found by the graph alone, they are those that our nets declare."""
    net = ca.build("efficientnet_b0")
    operations = trace(net, torch.zeros(1, 3, 64, 64))
    declared = {index for index, operation in enumerate(operations) if ".gate." in operation.path}
    assert declared
    assert gates(nn.Module(), operations) == declared
