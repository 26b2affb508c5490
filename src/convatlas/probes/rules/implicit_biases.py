"""Implicit biases: what each operation adds to the score beyond its gradient times its inputs (FullGrad)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from convatlas.probes.rules.contribution import contribution
from convatlas.probes.rules.kinds import MIXING, SELECTION, is_affine, varying
from convatlas.probes.tape.tape import Operation, Slot, Tape
from convatlas.probes.tape.vjp import vjp

Bias = Callable[[Operation, Tensor], None]
"""Takes an operation and the bias of each number of its result, times the gradient there."""


class ImplicitBiases:
    """A rule for `backward`: the chain rule, and (y − J x)·G of each operation on the way.

    Together with x·G at the input, they sum to the score exactly, whatever the operations are. For an affine operation
    y − J x is its constant; for others it comes from one forward derivative.
    """

    def __init__(self, report: Bias):
        self.report = report

    def __call__(self, tape: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> dict[int, Tensor]:
        if operation.name not in _WITHOUT or len(set(operation.inputs)) > len(varying(tape, operation)):
            for bias, gradient in zip(_constants(tape, operation), gradients, strict=True):
                if bias is not None and gradient is not None:
                    self.report(operation, contribution(bias, gradient))
        return vjp(tape, operation, gradients)


_WITHOUT = (SELECTION | MIXING) - {"native_batch_norm", "rsub", "constant_pad_nd", "masked_fill", "add", "sub", "lerp"}


def _constants(tape: Tape, operation: Operation) -> list[Tensor | None]:
    """Part of each result that is not its derivative along the inputs themselves, y − J x."""
    if operation.name == "convolution" and is_affine(tape, operation) and isinstance(operation.args[0], Slot):
        bias = operation.args[2]
        if bias is None:
            return [None]
        rank = tape.values[operation.args[0].index].ndim
        return [tape.values[bias.index].view(1, -1, *[1] * (rank - 2))]
    if operation.name == "mm" and is_affine(tape, operation):
        return [None]
    if operation.name == "addmm" and is_affine(tape, operation) and not tape.depends[operation.args[0].index]:
        return [operation.kwargs.get("beta", 1) * tape.values[operation.args[0].index]]
    with torch.enable_grad(), forward_ad.dual_level():
        duals: dict[int, Tensor] = {}

        def value(index: int) -> Tensor:
            tensor = tape.values[index].detach()
            if tape.depends[index] and tensor.is_floating_point():
                return duals.setdefault(index, forward_ad.make_dual(tensor, tensor.clone()))  # type: ignore[no-untyped-call]
            return tensor

        results = operation.run(value)
        return [_constant(result) for result in results]


def _constant(result: object) -> Tensor | None:
    if not isinstance(result, Tensor) or not result.is_floating_point():
        return None
    primal, tangent = forward_ad.unpack_dual(result)  # type: ignore[no-untyped-call]
    constant: Tensor = primal if tangent is None else primal - tangent
    return constant.detach()
