"""LRP through products of two tensors that depend on the photo."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.rules.kinds import SELECTION, varying
from convatlas.probes.rules.ledger import Found, Run
from convatlas.probes.rules.refusals import LRP, no_rule
from convatlas.probes.tape.tape import Operation, Slot, Tape
from convatlas.probes.tape.vjp import vjp

GATES = frozenset(["sigmoid", "hardsigmoid", "_softmax", "tanh", "hardtanh", "exp", "clamp"])
"""Functions whose result gates another tensor when both are multiplied."""


def product(rules: Run, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """A product of two tensors: each gets half, or the gate nothing. A divisor never gets anything."""
    carried = vjp(rules.tape, operation, multipliers)
    slots = [
        argument for argument in operation.args if isinstance(argument, Slot) and rules.tape.depends[argument.index]
    ]
    factors = slots[-2:]
    if operation.name == "div":
        factors = [slot for slot in factors if slot is not operation.args[1]]
        if not factors:
            return _kept(rules, operation, multipliers)
        return {slot.index: _quotient(rules.tape, operation, multipliers[0]) for slot in factors}
    if operation.name in ("addmm", "baddbmm", "addcmul") and len(slots) == 3:
        raise ConvAtlasError(no_rule(LRP, operation, " of three tensors that depend on the photo"))
    constant = _constant_part(rules, operation, multipliers)
    rules.ledger.biases += constant
    first, second = factors
    if first.index == second.index:
        return {first.index: carried[first.index] / 2}
    gate = _gate(rules, first, second) if rules.products == "signal" else None
    if gate is not None:
        return {slot.index: carried[slot.index] for slot in factors if slot is not gate}
    return {slot.index: carried[slot.index] / 2 for slot in factors}


def _kept(rules: Run, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """A constant divided by a tensor keeps all of its relevance."""
    output, multiplier = operation.outputs[0], multipliers[0]
    assert output is not None
    assert multiplier is not None
    rules.constants.add(operation.name)
    rules.ledger.constants += float((rules.tape.values[output] * multiplier).sum())
    return {}


def _constant_part(rules: Run, operation: Operation, multipliers: Sequence[Tensor | None]) -> float:
    """Relevance of what a product adds: the bias of addmm and of a convolution."""
    multiplier = multipliers[0]
    assert multiplier is not None
    if operation.name in ("addmm", "baddbmm", "addcmul"):
        added = operation.args[0]
        return float((operation.kwargs.get("beta", 1) * rules.tape.values[added.index] * multiplier).sum())
    if operation.name == "convolution" and operation.args[2] is not None:
        bias = rules.tape.values[operation.args[2].index]
        return float((bias.view(1, -1, *[1] * (multiplier.ndim - 2)) * multiplier).sum())
    return 0.0


def _gate(rules: Run, first: Slot, second: Slot) -> Slot | None:
    """Find which of two factors gates the other: the result of a bounded function, or the smaller one."""
    for slot in (first, second):
        index = slot.index
        while (producer := rules.producers.get(index)) is not None and producer.name in SELECTION:
            index = next(iter(varying(rules.tape, producer)))
        if producer is not None and producer.name in GATES:
            return slot
    sizes = [rules.tape.values[slot.index].numel() for slot in (first, second)]
    return None if sizes[0] == sizes[1] else (first, second)[sizes.index(min(sizes))]


def _quotient(tape: Tape, operation: Operation, multiplier: Tensor | None) -> Tensor:
    above, below = operation.args
    assert multiplier is not None
    result: Tensor = (multiplier / tape.values[below.index]).sum_to_size(tape.values[above.index].shape)
    return result
