"""Run only what follows a layer, from other maps than the photo's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.func import vmap

from convatlas.probes.rules.kinds import is_affine
from convatlas.probes.tape.tape import Tape

CHUNK = 64
"""Largest number of values of a layer that run at once."""

OTHERS: dict[str, Callable[..., Tensor]] = {
    # PyTorch has no second derivative of it.
    "hardsigmoid": lambda x: (x / 6 + 0.5).clamp(0, 1),
    # Another value may lie in memory in another order.
    "view": lambda x, shape: x.view(shape) if isinstance(shape, torch.dtype) else x.reshape(shape),
    "_unsafe_view": lambda x, shape: x.reshape(shape),
}
"""Functions that run instead of an operation of the same name."""


def run_tail(tape: Tape, index: int, value: Tensor, end: int | None = None) -> Tensor:
    """Scores (1, T) of a tape if the tensor with this index held another value, (1, K, h, w).

    It is differentiable, also twice.

    Args:
        tape: A tape of one photo.
        index: Index of the tensor.
        value: What it holds instead.
        end: Index of the tensor to return in place of the scores.
    """
    values = {index: value}
    for operation in tape.after(index, end):
        if operation.name in OTHERS:
            operation = replace(operation, function=OTHERS[operation.name])
        results = operation.run(lambda i: values.get(i, tape.values[i]))
        for output, result in zip(operation.outputs, results, strict=True):
            if output is not None:
                values[output] = result
    return values[tape.output if end is None else end]


def tail_scores(
    tape: Tape, index: int, count: int, make: Callable[[int, int], Tensor], memory: int
) -> Iterator[tuple[int, int, Tensor]]:
    """Scores of many other values of a layer.

    Args:
        tape: A tape of one photo.
        index: Index of the layer's output.
        count: Number of values.
        make: Function of two numbers that returns the values from the first to before the second, (n, K, h, w).
        memory: Bytes that the values and all that is computed from them may take at a time.

    Yields:
        Both numbers and the scores, (n, T), in float64.
    """
    chunk = max(1, min(CHUNK, memory // max(tape.memory(index), 1)))
    with torch.no_grad():
        for start in range(0, count, chunk):
            stop = min(start + chunk, count)
            values = make(start, stop)[:, None]  # (n, 1, K, h, w)
            scores = vmap(lambda value: run_tail(tape, index, value), randomness="same")(values)
            yield start, stop, scores[:, 0].double().cpu()


def tail_is_affine(tape: Tape, index: int) -> bool:
    """Whether the scores are an affine function of a layer's maps."""
    after = tape.after(index)
    depends = {index} | {output for operation in after for output in operation.outputs if output is not None}
    # What the rest of the net computes beside the layer counts as constant here.
    others = [tape.depends[i] and i in depends for i in range(len(tape.values))]
    narrowed = Tape(tape.values, others, tape.operations, tape.photo, tape.output)
    return all(is_affine(narrowed, operation) for operation in after)
