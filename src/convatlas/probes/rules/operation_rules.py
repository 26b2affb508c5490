"""LRP through single operations: affine ones, functions of a number, and those with a rule of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.rules.contribution import contribution
from convatlas.probes.rules.kinds import ELEMENTWISE, MIXING, PRODUCTS, SELECTION, STEPS, is_affine, varying
from convatlas.probes.rules.ledger import Found, Run
from convatlas.probes.rules.products import product
from convatlas.probes.rules.refusals import LRP, no_rule
from convatlas.probes.tape.tape import Operation, Slot, Tape
from convatlas.probes.tape.vjp import by_autograd, vjp

CONSTANT = frozenset(["log", "log2", "log10", "rsqrt", "reciprocal", "logit"])
"""Functions without a value at 0: what they compute is taken as constant."""

_HOMOGENEOUS = (SELECTION | MIXING) - {"native_batch_norm", "rsub", "constant_pad_nd", "masked_fill", "add", "sub"}
"""Affine operations that are 0 at 0, if all of their tensors depend on the photo."""


def through(rules: Run, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """Share the relevance of an operation's results among its inputs, by the rule for its kind.

    Raises:
        ConvAtlasError: It has no rule.
    """
    if is_affine(rules.tape, operation):
        return _affine(rules, operation, multipliers)
    if operation.name in SPECIAL:
        return SPECIAL[operation.name](rules, operation, multipliers)
    if operation.name in PRODUCTS:
        return product(rules, operation, multipliers)
    if operation.name in ELEMENTWISE:
        return _elementwise(rules, operation, multipliers)
    raise ConvAtlasError(no_rule(LRP, operation))


def _affine(rules: Run, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """LRP-0 of an affine operation, which is the chain rule; its constants keep what they contributed."""
    if operation.name not in _HOMOGENEOUS or len(set(operation.inputs)) > len(varying(rules.tape, operation)):
        zeros = operation.run(
            lambda index: (
                torch.zeros_like(rules.tape.values[index]) if rules.tape.depends[index] else rules.tape.values[index]
            )
        )
        rules.ledger.biases += sum(
            float(contribution(zero, multiplier).sum())
            for zero, multiplier in zip(zeros, multipliers, strict=True)
            if multiplier is not None
        )
    return vjp(rules.tape, operation, multipliers)


def _elementwise(rules: Run, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """R_x = R_y but for what the function's value at 0 contributed: G_x = (g(x) − g(0))/x · G_y."""
    inputs = varying(rules.tape, operation)
    output, multiplier = operation.outputs[0], multipliers[0]
    assert output is not None
    assert multiplier is not None
    if len(inputs) != 1:
        raise ConvAtlasError(no_rule(LRP, operation, " of several tensors"))
    (index,) = inputs
    x, y = rules.tape.values[index], rules.tape.values[output]
    if operation.name in CONSTANT or (operation.name == "pow" and not _positive_power(operation)):
        rules.ledger.constants += float((y * multiplier).sum())
        rules.constants.add(operation.name)
        return {}
    if operation.name == "relu":
        return vjp(rules.tape, operation, multipliers)
    offset = operation.run(lambda i: torch.zeros_like(x) if i == index else rules.tape.values[i])[0]
    rules.ledger.offsets += float((offset * multiplier).sum())
    near = x.abs() <= torch.finfo(x.dtype).tiny ** 0.5
    slope = torch.where(near, 0, (y - offset) / torch.where(near, 1, x))
    if near.any():
        others = (None,) * (len(multipliers) - 1)
        flat = by_autograd(rules.tape, operation, (torch.ones_like(y), *others), {index: torch.zeros_like(x)})
        slope = torch.where(near, flat.get(index, torch.zeros_like(x)), slope)
    return {index: multiplier * slope}


def _positive_power(operation: Operation) -> bool:
    exponent = operation.args[1]
    return isinstance(exponent, (int, float)) and exponent > 0


def _chain(rules: Run, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """The chain rule."""
    return vjp(rules.tape, operation, multipliers)


def _softmax(rules: Run, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """Softmax by its tangent at x, whose constant part is absorbed (Achtibat et al. 2024, AttnLRP)."""
    (multiplier,) = multipliers
    index, output = operation.args[0].index, operation.outputs[0]
    assert multiplier is not None
    assert output is not None
    carried = vjp(rules.tape, operation, multipliers)
    x, y = rules.tape.values[index], rules.tape.values[output]
    dim = operation.args[1]
    # The tangent's constant part: y − J x, with J x = y ∘ (x − Σ y x) for softmax and x − Σ p x for its logarithm.
    p = y if operation.name != "_log_softmax" else y.exp()
    centred = x - (p * x).sum(dim, keepdim=True)
    tangent = y * centred if operation.name != "_log_softmax" else centred
    rules.ledger.offsets += float(((y - tangent) * multiplier).sum())
    return carried


def _layer_norm(rules: Run, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """Normalization with its standard deviation taken as constant (Achtibat et al. 2024)."""
    multiplier = multipliers[0]
    assert multiplier is not None
    tape, slot = rules.tape, operation.args[0]
    x = tape.values[slot.index]
    if operation.name == "native_layer_norm":
        _, shape, weight, bias, _ = operation.args
        view = list(shape)
        grouped = (*x.shape[: x.ndim - len(shape)], -1)
    else:
        _, weight, bias, n, _, _, groups, _ = operation.args
        view = [1, -1, *[1] * (x.ndim - 2)]
        grouped = (n, groups, -1)
    deviation = operation.outputs[2]
    assert deviation is not None
    if bias is not None:
        rules.ledger.biases += float((tape.values[bias.index].view(view) * multiplier).sum())
    scaled = multiplier if weight is None else multiplier * tape.values[weight.index].view(view)
    rows = scaled.reshape(grouped)
    rows = rows - rows.mean(-1, keepdim=True)
    factor = tape.values[deviation].reshape(*grouped[:-1], 1)
    return {slot.index: (rows * factor).reshape(x.shape)}


def _norm(rules: Run, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """Euclidean norm: n = Σ x·(x/n), which is the chain rule."""
    if operation.args[1] != 2:
        raise ConvAtlasError(no_rule(LRP, operation, f" of order {operation.args[1]}"))
    return vjp(rules.tape, operation, multipliers)


def _log_sum_exp(rules: Run, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """Logarithm of a sum of exponentials by its tangent, whose constant part is absorbed."""
    multiplier, output = multipliers[0], operation.outputs[0]
    assert multiplier is not None
    assert output is not None
    carried = vjp(rules.tape, operation, multipliers)
    index = operation.args[0].index
    tangent = sum(float((part * rules.tape.values[i]).sum()) for i, part in carried.items() if i == index)
    rules.ledger.offsets += float((rules.tape.values[output] * multiplier).sum()) - tangent
    return carried


def _where(rules: Run, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """Choose between two tensors by a condition that the photo decides; the choice is taken as constant."""
    condition, *branches = operation.args
    multiplier = multipliers[0]
    assert multiplier is not None
    tape = rules.tape
    choice = tape.values[condition.index] if isinstance(condition, Slot) else condition
    for branch, chosen in zip(branches, (choice, ~choice), strict=True):
        if not isinstance(branch, Slot) or not tape.depends[branch.index]:
            value = tape.values[branch.index] if isinstance(branch, Slot) else branch
            rules.ledger.biases += float((torch.where(chosen, value, 0) * multiplier).sum())
    return vjp(tape, operation, multipliers)


def _nothing(rules: Run, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    rules.ledger.offsets += sum(
        float((rules.tape.values[index] * multiplier).sum())
        for index, multiplier in zip(operation.outputs, multipliers, strict=True)
        if index is not None and multiplier is not None
    )
    return {}


SPECIAL: dict[str, Callable[[Run, Operation, Sequence[Tensor | None]], Found]] = {
    **dict.fromkeys(
        (
            "max_pool2d_with_indices",
            "max_pool3d_with_indices",
            "amax",
            "amin",
            "max",
            "min",
            "maximum",
            "minimum",
            "topk",
        ),
        _chain,
    ),
    "where": _where,
    "_softmax": _softmax,
    "_safe_softmax": _softmax,
    "_log_softmax": _softmax,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _layer_norm,
    "linalg_vector_norm": _norm,
    "logsumexp": _log_sum_exp,
    **dict.fromkeys(STEPS, _nothing),
}
"""Operations with a rule of their own."""


def has_rule(tape: Tape, operation: Operation) -> bool:
    """Whether relevance can go back through an operation."""
    if is_affine(tape, operation) or operation.name in SPECIAL or operation.name in PRODUCTS:
        return True
    return operation.name in ELEMENTWISE and len(varying(tape, operation)) == 1
