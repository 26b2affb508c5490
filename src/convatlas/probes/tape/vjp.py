"""Vector-Jacobian products of ATen operations: what a gradient at an operation's results is at its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from convatlas.probes.tape.tape import Operation, Slot, Tape

Gradients = Mapping[int, Tensor]
"""Gradient of each tensor, by its index on the tape."""

aten = torch.ops.aten


def vjp(tape: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> dict[int, Tensor]:
    """Gradients at the inputs of an operation that depend on the photo, by index.

    Args:
        tape: The tape.
        operation: An operation of it.
        gradients: Gradient at each result of the operation; None is zero.
    """
    direct = DIRECT.get(operation.name)
    gradient = gradients[0]
    if direct is not None and gradient is not None:
        result = direct(tape, operation, gradient)
        if result is not None:
            return result
    return by_autograd(tape, operation, gradients)


def by_autograd(
    tape: Tape, operation: Operation, gradients: Sequence[Tensor | None], at: Mapping[int, Tensor] | None = None
) -> dict[int, Tensor]:
    """Vector-Jacobian product of any operation, which is computed once more by autograd.

    Args:
        tape: The tape.
        operation: An operation of it.
        gradients: Gradient at each result.
        at: Inputs to use in place of those on the tape, by index.
    """
    at = at or {}
    leaves: dict[int, Tensor] = {}

    def value(index: int) -> Tensor:
        tensor = at.get(index, tape.values[index]).detach()
        if tape.depends[index] and (tensor.is_floating_point() or tensor.is_complex()):
            # One leaf for a tensor that is used twice.
            return leaves.setdefault(
                index, tensor.clone().requires_grad_() if tensor.is_inference() else tensor.requires_grad_()
            )
        return tensor

    with torch.enable_grad():
        results = operation.run(value)
    pairs = [
        (result, gradient.to(result.dtype))
        for result, gradient in zip(results, gradients, strict=True)
        if gradient is not None and isinstance(result, Tensor) and result.requires_grad
    ]
    if not pairs or not leaves:
        return {}
    ends, starts = zip(*pairs, strict=True)
    parts = torch.autograd.grad(ends, list(leaves.values()), starts, allow_unused=True)
    return {index: gradient for index, gradient in zip(leaves, parts, strict=True) if gradient is not None}


def convolution(tape: Tape, operation: Operation, gradient: Tensor) -> dict[int, Tensor] | None:
    """Gradients of a convolution, without computing it again."""
    x, weight, bias, *geometry = operation.args
    if isinstance(bias, Slot) and tape.depends[bias.index]:
        return None
    mask = [tape.depends[x.index], tape.depends[weight.index], False]
    x_, weight_ = tape.values[x.index], tape.values[weight.index]
    parts = aten.convolution_backward(gradient, x_, weight_, None, *geometry, mask)
    return {slot.index: part for slot, part, used in zip((x, weight), parts, mask, strict=False) if used}


def matrix_product(tape: Tape, operation: Operation, gradient: Tensor) -> dict[int, Tensor] | None:
    """Gradients of mm and bmm."""
    first, second = operation.args[:2]
    return _sides(tape, first, second, gradient)


def affine_matrix_product(tape: Tape, operation: Operation, gradient: Tensor) -> dict[int, Tensor] | None:
    """Gradients of addmm and baddbmm with the usual factors of 1."""
    added, first, second = operation.args
    if tape.depends[added.index] or operation.kwargs:
        return None
    return _sides(tape, first, second, gradient)


def _sides(tape: Tape, first: Slot, second: Slot, gradient: Tensor) -> dict[int, Tensor] | None:
    if first.index == second.index:
        return None
    result = {}
    if tape.depends[first.index]:
        result[first.index] = gradient @ tape.values[second.index].mT
    if tape.depends[second.index]:
        result[second.index] = tape.values[first.index].mT @ gradient
    return result


def relu(tape: Tape, operation: Operation, gradient: Tensor) -> dict[int, Tensor]:
    """Gradient of a ReLU."""
    (x,) = operation.args
    return {x.index: aten.threshold_backward(gradient, tape.values[x.index], 0)}


def add(tape: Tape, operation: Operation, gradient: Tensor) -> dict[int, Tensor] | None:
    """Gradients of a sum of two tensors of one shape and type."""
    slots = [slot for slot in operation.args if isinstance(slot, Slot)]
    terms = [tape.values[slot.index] for slot in slots]
    alike = all(term.shape == gradient.shape and term.dtype == gradient.dtype for term in terms)
    if len({slot.index for slot in slots}) < 2 or not alike or operation.kwargs:
        return None
    return {slot.index: gradient for slot in slots if tape.depends[slot.index]}


def max_pool(tape: Tape, operation: Operation, gradient: Tensor) -> dict[int, Tensor]:
    """Gradient of 2-D max pooling, which goes to the pixels that the indices name."""
    x, kernel, *rest = operation.args
    defaults: tuple[Any, ...] = ([], 0, 1, False)
    stride, padding, dilation, ceil = (*rest, *defaults[len(rest) :])
    indices = operation.outputs[1]
    assert indices is not None
    stride, padding, dilation = stride or kernel, padding or [0, 0], dilation if dilation != 1 else [1, 1]
    x_ = tape.values[x.index]
    parts = aten.max_pool2d_with_indices_backward(
        gradient, x_, kernel, stride, padding, dilation, ceil, tape.values[indices]
    )
    return {x.index: parts}


def batch_norm(tape: Tape, operation: Operation, gradient: Tensor) -> dict[int, Tensor] | None:
    """Gradient of batch normalization with the running statistics."""
    scale = batch_norm_scale(tape, operation)
    return None if scale is None else {operation.args[0].index: gradient * scale}


def batch_norm_scale(tape: Tape, operation: Operation) -> Tensor | None:
    """Factor of each channel, (1, C, 1, 1, …); None if the statistics are those of the batch."""
    x, weight, _, _, variance, training, *_, eps = operation.args
    if training or any(isinstance(slot, Slot) and tape.depends[slot.index] for slot in operation.args[1:5]):
        return None
    scale = (tape.values[variance.index] + eps).rsqrt()
    if weight is not None:
        scale = scale * tape.values[weight.index]
    result: Tensor = scale.view(1, -1, *[1] * (tape.values[x.index].ndim - 2))
    return result


def detached(tape: Tape, operation: Operation, gradient: Tensor) -> dict[int, Tensor]:
    """Gradient of a detached tensor, which depends on the photo all the same: a net may only have kept it for later."""
    return {operation.args[0].index: gradient}


DIRECT: dict[str, Callable[[Tape, Operation, Tensor], dict[int, Tensor] | None]] = {
    "convolution": convolution,
    "mm": matrix_product,
    "bmm": matrix_product,
    "addmm": affine_matrix_product,
    "relu": relu,
    "add": add,
    "max_pool2d_with_indices": max_pool,
    "native_batch_norm": batch_norm,
    "detach": detached,
}
"""Operations whose gradient is computed without running them again."""
