"""Other ways back through ReLUs, wherever and however they are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tape import Operation, Tape
from convatlas.probes.tape.vjp import vjp

RELUS = frozenset(
    [
        "relu",
        "relu6",
        "hardtanh",
        "clamp_min",
        "threshold",
        "clamp",
        "leaky_relu",
        "silu",
        "gelu",
        "hardswish",
        "elu",
        "mish",
        "celu",
        "selu",
    ]
)
"""Functions that these probes change: ReLU and those that stand where it would."""

NO_RELU = "this net has no ReLU to change: use saliency, which is its plain gradient"
"""What is said of a net without any."""

Change = Callable[[Tensor, Tensor], Tensor]
"""Takes the input of a ReLU and the gradient at its result; returns the gradient at its input."""


def through_relus(subject: Subject, target: int, change: Change) -> Tensor:
    """Return what arrives at the photo, (C, h, w), if all ReLUs pass gradients by another rule.

    Raises:
        ConvAtlasError: The net has no ReLU, so that only its plain gradient would arrive.
    """
    count = 0

    def rule(tape: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> dict[int, Tensor]:
        nonlocal count
        (gradient, *_) = gradients
        inputs = [index for index in dict.fromkeys(operation.inputs) if tape.depends[index]]
        if operation.name not in RELUS or gradient is None or len(inputs) != 1:
            return vjp(tape, operation, gradients)
        count += 1
        return {inputs[0]: change(tape.values[inputs[0]], gradient)}

    tape = subject.tape
    values = subject.back(tape, [tape.photo], target, rule)[tape.photo][0]
    if count == 0:
        raise ConvAtlasError(NO_RELU)
    return values


def positive_only(x: Tensor, gradient: Tensor) -> Tensor:
    """Pass positive gradients, wherever the unit was active or not (DeconvNet)."""
    return gradient.clamp(min=0)


def positive_and_active(x: Tensor, gradient: Tensor) -> Tensor:
    """Pass positive gradients of active units (guided backprop)."""
    return torch.where(x > 0, gradient.clamp(min=0), 0)
