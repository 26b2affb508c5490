"""Go back over a tape: carry gradients, or whatever a rule makes of them, from the target to the photo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from convatlas.probes.tape.tape import Operation, Tape
from convatlas.probes.tape.vjp import vjp

Rule = Callable[[Tape, Operation, Sequence[Tensor | None]], dict[int, Tensor]]
"""Turns the gradients at an operation's results into those at its inputs, by index on the tape."""

Visit = Callable[[int, Tensor], Tensor]
"""Sees the index of a tensor and its whole gradient, before the operation that made it; returns what to carry on."""


def backward(
    tape: Tape,
    ends: Iterable[int],
    rule: Rule = vjp,
    visit: Visit | None = None,
    start: Tensor | None = None,
) -> dict[int, Tensor]:
    """Carry gradients back from the output of a tape.

    Args:
        tape: The tape.
        ends: Indices of the tensors whose gradients to return.
        rule: What an operation does to gradients; by default the chain rule.
        visit: Called once for every tensor on the way.
        start: Gradient at the output; by default 1 for each score.

    Returns:
        The gradient of each of them, zeros if the output does not depend on it.
    """
    ends = set(ends)
    reached = _reached(tape, ends)
    output = tape.values[tape.output]
    gradients = {tape.output: torch.ones_like(output) if start is None else start}
    results_at: dict[int, Tensor] = {}
    with torch.no_grad():
        for operation in reversed(tape.operations):
            results = [index for index in operation.outputs if index is not None and index in gradients]
            if not results:
                continue
            for index in results:
                _settle(index, gradients, ends, results_at, visit)
            if reached.isdisjoint(operation.inputs):
                for index in results:
                    del gradients[index]
                continue
            arriving = [None if index is None else gradients.pop(index, None) for index in operation.outputs]
            for index, gradient in rule(tape, operation, arriving).items():
                if index in reached:
                    known = gradients.get(index)
                    gradients[index] = gradient if known is None else known + gradient
        for index in list(gradients):
            _settle(index, gradients, ends, results_at, visit)
    return {index: results_at.get(index, torch.zeros_like(tape.values[index])) for index in ends}


def _settle(
    index: int, gradients: dict[int, Tensor], ends: set[int], results_at: dict[int, Tensor], visit: Visit | None
) -> None:
    """Show a whole gradient to `visit`, and keep it if it is one of them."""
    if visit is not None:
        gradients[index] = visit(index, gradients[index])
    if index in ends:
        results_at[index] = gradients[index]


def _reached(tape: Tape, ends: set[int]) -> set[int]:
    """The tensors through which a gradient can reach one of the ends."""
    reached = set(ends)
    for operation in tape.operations:
        if not reached.isdisjoint(operation.inputs):
            reached.update(index for index in operation.outputs if index is not None)
    return reached
