"""Find the layers with weights on a tape, with the batch normalization that follows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from convatlas.probes.rules.kinds import is_layer
from convatlas.probes.rules.layer_rules import Layer
from convatlas.probes.tape.tape import Operation, Slot, Tape
from convatlas.probes.tape.vjp import batch_norm_scale

aten = torch.ops.aten


def followers(tape: Tape) -> dict[int, Operation]:
    """For the output of each convolution that only a batch normalization reads, by its index, this normalization."""
    readers = tape.readers()
    result: dict[int, Operation] = {}
    for operation in tape.operations:
        if operation.name == "convolution" and is_layer(tape, operation):
            (output,) = operation.outputs
            assert output is not None
            after = readers.get(output, [])
            if (
                len(after) == 1
                and after[0].name == "native_batch_norm"
                and batch_norm_scale(tape, after[0]) is not None
            ):
                result[output] = after[0]
    return result


def layer_of(tape: Tape, operation: Operation, norm: Operation | None = None) -> tuple[int, Layer]:
    """The index of a layer's input, and the layer; the batch normalization that follows may be folded in."""
    last = norm or operation
    output = last.outputs[0]
    assert output is not None
    z = tape.values[output]
    if operation.name == "convolution":
        slot, weight, bias, *geometry = operation.args
        w = tape.values[weight.index]
        forward, backward = _convolution(tape.values[slot.index], geometry)
        b = None if bias is None else tape.values[bias.index].view(1, -1, *[1] * (z.ndim - 2))
        if norm is not None:
            w, b = _folded(tape, norm, w, b, bool(geometry[3]), int(geometry[5]))
        return slot.index, Layer(tape.values[slot.index], z, w, b, forward, backward)
    added, slot, weight = (None, *operation.args) if operation.name == "mm" else operation.args
    beta, alpha = operation.kwargs.get("beta", 1), operation.kwargs.get("alpha", 1)
    b = None if added is None else beta * tape.values[added.index]
    w = tape.values[weight.index] * alpha if alpha != 1 else tape.values[weight.index]
    return slot.index, Layer(tape.values[slot.index], z, w, b, torch.matmul, lambda gradient, w: gradient @ w.mT)


Pair = tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]


def _convolution(x: Tensor, geometry: list[Any]) -> Pair:
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        result: Tensor = aten.convolution(x, weight, None, *geometry)
        return result

    def backward(gradient: Tensor, weight: Tensor) -> Tensor:
        result: Tensor = aten.convolution_backward(gradient, x, weight, None, *geometry, [True, False, False])[0]
        return result

    return forward, backward


def _folded(
    tape: Tape, norm: Operation, weight: Tensor, bias: Tensor | None, transposed: bool, groups: int
) -> tuple[Tensor, Tensor]:
    """Weights and bias of a convolution with the batch normalization after it."""
    scale = batch_norm_scale(tape, norm)
    assert scale is not None
    mean, beta = tape.values[norm.args[3].index], norm.args[2]
    shift = -mean.view(scale.shape) * scale
    if isinstance(beta, Slot):
        shift = shift + tape.values[beta.index].view(scale.shape)
    if bias is not None:
        shift = shift + bias * scale
    spatial = [1] * (weight.ndim - 2)
    if not transposed:
        return weight * scale.view(-1, 1, *spatial), shift
    # A transposed convolution holds its output channels second, group by group.
    rows = scale.view(groups, 1, -1).expand(groups, weight.shape[0] // groups, -1).reshape(weight.shape[0], -1)
    return weight * rows.view(*rows.shape, *spatial), shift
