"""What a unit sees of the photo, of every net of the atlas: the support of the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas as ca
from convatlas.anatomy.measure.find import outputs_maps
from convatlas.anatomy.measure.operation_kinds import kind_of_module
from convatlas.anatomy.measure.receptive_field import reach
from convatlas.anatomy.measure.tracing.calls import Operation
from convatlas.anatomy.measure.tracing.trace import trace
from convatlas.catalogue.cards import cards
from convatlas.genes.attention import Gated
from convatlas.nets.net import Net

SIZE = 96, 128
"""Height and width of the photos; nets for smaller ones get their own."""

CHECKED = 6
"""Layers of each net that are checked, spread over it."""


@pytest.fixture
def averages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let windows that take a maximum, which passes the gradient to one position alone, take an average.

    The cells of the cognitrons, which are 0 below a threshold, pass every gradient.
    """

    def average(x: Tensor, kernel: Any, stride: Any = None, padding: Any = 0, *args: Any, **options: Any) -> Tensor:
        return F.avg_pool2d(x, kernel, stride, padding, ceil_mode=options.get("ceil_mode", False))

    monkeypatch.setattr(F, "max_pool2d", average)
    monkeypatch.setattr(Tensor, "clamp_min", lambda x, least: x)


def noise(gradient: Tensor) -> Tensor:
    """Random numbers above 0 where a gradient is not 0: in deep nets it would soon be too small for floats."""
    return (gradient != 0) * torch.empty_like(gradient).uniform_(0.5, 1.5)


def draw_weights(net: Net) -> None:
    """Draw weights above 0 of which each unit takes an average."""
    for weight in net.parameters():
        nn.init.uniform_(weight, 0.5, 1.5)
        if weight.ndim > 1:
            weight.data /= weight[0].numel()


def opened(net: Net) -> dict[str, Tensor]:
    """Let every path of a net pass a gradient, but those of gates; returns where outputs will be, by path."""
    outputs: dict[str, Tensor] = {}

    def hook(path: str, by_position: bool) -> Any:
        def run(module: nn.Module, args: tuple[Tensor, ...], output: Any) -> Any:
            if by_position and output.shape == args[0].shape:
                output = args[0] * 1
            if isinstance(output, Tensor) and output.requires_grad:
                output.register_hook(noise)
                outputs[path] = output
            return output

        return run

    for path, module in net.named_modules():
        if not any(True for _ in module.children()):
            known = kind_of_module(module)
            # Their gradients are 0 at places, or cancel; only normalizations of the cognitron mix positions.
            mixes = type(module).__module__.endswith("fukushima") and known is not None and known[1] == "normalization"
            by_position = known is not None and known[1] in ("activation", "normalization") and not mixes
            module.register_forward_hook(hook(path, by_position))
        if isinstance(module, Gated):
            module.gate.register_forward_hook(lambda module, args, output: torch.ones_like(output.detach()))
    return outputs


def chosen(operations: list[Operation]) -> Iterator[int]:
    """Indices of layers that output maps, spread over the net, the last one among them."""
    maps = [index for index, operation in enumerate(operations) if outputs_maps(operation)]
    count = min(CHECKED, len(maps))
    yield from dict.fromkeys(maps[(len(maps) - 1) * place // max(count - 1, 1)] for place in range(count))


def seen(output: Tensor, x: Tensor, row: int, column: int) -> tuple[tuple[int, int], ...]:
    """First and last row and column that a unit's gradient reaches; empty if it reads a border alone."""
    (gradient,) = torch.autograd.grad(output[0, :, row, column].sum(), x, retain_graph=True)
    reached = gradient[0].abs().sum(0)
    rows, columns = (reached.sum(1 - side).nonzero().flatten().tolist() for side in (0, 1))
    return ((rows[0], rows[-1]), (columns[0], columns[-1])) if rows else ()


@pytest.mark.usefixtures("averages")
@pytest.mark.parametrize("name", list(cards()))
def test_what_a_unit_sees_is_what_its_gradient_reaches(name: str) -> None:
    size = SIZE if min(cards()[name].input[:2]) >= 96 else None
    net = ca.build(name, size=size).eval()
    operations = trace(net, torch.zeros(1, net.channels, *net.size))
    outputs = opened(net)
    draw_weights(net)
    x = torch.rand(1, net.channels, *net.size, requires_grad=True)
    net(x)
    checked = 0
    for index in chosen(operations):
        output = outputs.get(operations[index].path)
        if output is None:
            continue
        for row, column in ((output.shape[2] // 2, output.shape[3] // 2), (0, output.shape[3] - 1)):
            if pixels := seen(output, x, row, column):
                expected = reach(operations, index, row, column, net.size)
                assert (expected.rows, expected.columns) == pixels, operations[index].path
                checked += 1
    assert checked or not any(map(outputs_maps, operations))
