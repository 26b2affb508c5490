"""Multipliers between two runs of a net: exact linear maps from differences at inputs to differences at results.

Each function returns, for gradients g at the results, gradients m at the inputs with Σ g·Δy = Σ m·Δx (DeepLIFT's
rescale rule and its counterparts for operations with several inputs). "x" and "b" are the runs on the photo and on
the background.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.rules.kinds import ELEMENTWISE, PRODUCTS, STEPS, is_affine
from convatlas.probes.rules.refusals import no_rule
from convatlas.probes.tape.tape import Operation, Slot, Tape
from convatlas.probes.tape.vjp import by_autograd, vjp

Found = dict[int, Tensor]

NAME = "DeepLIFT"
"""Name of the method in what is said where an operation has no rule."""


def secant(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Multipliers at the inputs of any operation that has a rule.

    Raises:
        ConvAtlasError: It has none.
    """
    rule = rule_for(photo, operation)
    if rule is None:
        raise ConvAtlasError(no_rule(NAME, operation))
    return rule(photo, background, operation, gradients)


def rule_for(photo: Tape, operation: Operation) -> Callable[..., Found] | None:
    """The rule for an operation; None if there is none."""
    if is_affine(photo, operation):
        return affine
    if operation.name in SPECIAL:
        return SPECIAL[operation.name]
    if operation.name in PRODUCTS:
        return product
    if operation.name in ELEMENTWISE:
        return elementwise
    return None


def affine(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """The chain rule, which is exact for affine operations."""
    return vjp(photo, operation, gradients)


def product(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Δ(uv) = Δu·(v + v')/2 + (u + u')/2·Δv: the chain rule half-way between both runs."""
    if operation.name == "div":
        return quotient(photo, background, operation, gradients)
    at = {
        index: (photo.values[index] + background.values[index]) / 2
        for index in operation.inputs
        if photo.depends[index]
    }
    if len(at) == 1 and len(operation.inputs) != 1 and operation.name != "mul":
        # The same tensor on both sides is squared, for which half-way is exact too.
        return by_autograd(photo, operation, gradients, at)
    return by_autograd(photo, operation, gradients, at)


def quotient(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Quotient of two tensors, as a product with the reciprocal: Δ(1/v) = −Δv/(v·v')."""
    (gradient,) = gradients
    assert gradient is not None
    above, below = operation.args
    v, v_ = photo.values[below.index], background.values[below.index]
    result: Found = {}
    if isinstance(above, Slot):
        u, u_ = photo.values[above.index], background.values[above.index]
        if photo.depends[above.index]:
            result[above.index] = _fold(gradient * (1 / v + 1 / v_) / 2, u)
    else:
        u = u_ = torch.as_tensor(above, dtype=v.dtype)
    m = _fold(-gradient * (u + u_) / 2 / (v * v_), v)
    result[below.index] = result[below.index] + m if below.index in result else m
    return result


def elementwise(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Δy/Δx of each number; where both runs agree, the derivative half-way."""
    inputs = [index for index in dict.fromkeys(operation.inputs) if photo.depends[index]]
    output, gradient = operation.outputs[0], gradients[0]
    if len(inputs) != 1 or gradient is None or output is None:
        raise ConvAtlasError(no_rule(NAME, operation, " of several tensors"))
    (index,) = inputs
    x, b = photo.values[index], background.values[index]
    y, y_ = photo.values[output], background.values[output]
    difference = x - b
    near = difference.abs() <= 16 * torch.finfo(x.dtype).eps * torch.maximum(x.abs(), b.abs()).clamp(min=1e-30)
    slope = torch.where(near, 0, y - y_) / torch.where(near, 1, difference)
    if near.any():
        others = (None,) * (len(gradients) - 1)
        flat = by_autograd(photo, operation, (torch.ones_like(y), *others), {index: (x + b) / 2})
        slope = torch.where(near, flat.get(index, torch.zeros_like(x)), slope)
    return {index: gradient * slope}


def relu(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Δy/Δx of a ReLU, as (y + y')/(|x| + |x'|): the same number, without a difference that could cancel."""
    (gradient,), (slot,), (output,) = gradients, operation.args, operation.outputs
    assert gradient is not None
    assert output is not None
    x, b = photo.values[slot.index], background.values[slot.index]
    below = x.abs().add_(b.abs()).clamp_(min=torch.finfo(x.dtype).tiny)
    return {slot.index: (photo.values[output] + background.values[output]).div_(below).mul_(gradient)}


def softmax(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Softmax as exponentials, their sum, its reciprocal and a product, each with its secant."""
    (gradient,) = gradients
    assert gradient is not None
    slot, dim = operation.args[0], operation.args[1]
    x, b = photo.values[slot.index], background.values[slot.index]
    e, e_, slope = _exponentials(x, b, dim)
    s, s_ = e.sum(dim, keepdim=True), e_.sum(dim, keepdim=True)
    m = gradient * (1 / s + 1 / s_) / 2 - (gradient * (e + e_) / 2).sum(dim, keepdim=True) / (s * s_)
    return {slot.index: m * slope}


def log_softmax(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Log-softmax: the input minus the logarithm of a sum of exponentials."""
    (gradient,) = gradients
    assert gradient is not None
    slot, dim = operation.args[0], operation.args[1]
    x, b = photo.values[slot.index], background.values[slot.index]
    return {slot.index: gradient - gradient.sum(dim, keepdim=True) * _log_sum_exp_slope(x, b, dim)}


def log_sum_exp(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Logarithm of a sum of exponentials."""
    (gradient,) = gradients
    assert gradient is not None
    slot, dims = operation.args[0], operation.args[1]
    x, b = photo.values[slot.index], background.values[slot.index]
    return {slot.index: _spread(gradient, operation, x, dims) * _log_sum_exp_slope(x, b, dims)}


def _log_sum_exp_slope(x: Tensor, b: Tensor, dim: int | list[int]) -> Tensor:
    e, e_, slope = _exponentials(x, b, dim)
    s, s_ = e.sum(dim, keepdim=True), e_.sum(dim, keepdim=True)
    ratio = (s - s_) / s_
    # log(s / s') / (s - s'), also where both are equal.
    near = ratio.abs() < 1e-5
    log = torch.where(near, (1 - ratio / 2 + ratio**2 / 3) / s_, torch.log1p(ratio) / torch.where(near, 1, s - s_))
    return slope * log


def _exponentials(x: Tensor, b: Tensor, dim: int | list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """exp(x), exp(b) and the slope between them, all scaled by the same factor."""
    largest = torch.maximum(x, b).amax(dim, keepdim=True)
    e, e_ = (x - largest).exp(), (b - largest).exp()
    half = (x - b) / 2
    # (e - e') / (x - b) = sqrt(e e') sinh(h) / h with h = (x - b) / 2; by differences where that is exact enough.
    near = half.abs() < 0.1
    series = 1 + half**2 / 6 + half**4 / 120 + half**6 / 5040
    slope = torch.where(near, ((x + b) / 2 - largest).exp() * series, (e - e_) / torch.where(near, 1, x - b))
    return e, e_, slope


def layer_norm(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Layer normalization: centring, the mean of squares, its inverse root, and products."""
    slot, shape, weight, _, eps = operation.args
    gradient = gradients[0]
    assert gradient is not None
    x, b = photo.values[slot.index], background.values[slot.index]
    dims = tuple(range(x.ndim - len(shape), x.ndim))
    scaled = gradient if weight is None else gradient * photo.values[weight.index]
    return {slot.index: _normalization(x, b, scaled, dims, eps)}


def group_norm(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Group normalization, as layer normalization of each group."""
    slot, weight, _, n, _c, _hw, groups, eps = operation.args
    gradient = gradients[0]
    assert gradient is not None
    x, b = photo.values[slot.index], background.values[slot.index]
    if weight is not None:
        gradient = gradient * photo.values[weight.index].view(1, -1, *[1] * (x.ndim - 2))
    rows, rows_, scaled = (tensor.reshape(n, groups, -1) for tensor in (x, b, gradient))
    return {slot.index: _normalization(rows, rows_, scaled, (2,), eps).reshape(x.shape)}


def _normalization(x: Tensor, b: Tensor, gradient: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    u, u_ = x - x.mean(dims, keepdim=True), b - b.mean(dims, keepdim=True)
    s, s_ = ((t.square().mean(dims, keepdim=True) + eps).sqrt() for t in (u, u_))
    middle = (u + u_) / 2
    count = u.numel() / max(s.numel(), 1)
    # Δ(1/s) = −Δ(s²) / (s s' (s + s')), and Δ(mean of u²) = mean of 2 (u + u')/2 Δu.
    squared = -(gradient * middle).sum(dims, keepdim=True) / (s * s_ * (s + s_))
    centred = gradient * (1 / s + 1 / s_) / 2 + squared * 2 * middle / count
    return centred - centred.mean(dims, keepdim=True)


def vector_norm(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Euclidean norm: Δn = Σ (u + u')·Δu / (n + n')."""
    slot, order, *rest = operation.args
    gradient = gradients[0]
    if order != 2 or gradient is None:
        raise ConvAtlasError(no_rule(NAME, operation, f" of order {order}"))
    x, b = photo.values[slot.index], background.values[slot.index]
    dims = rest[0] if rest and rest[0] is not None else list(range(x.ndim))
    n = x.square().sum(dims, keepdim=True).sqrt() + b.square().sum(dims, keepdim=True).sqrt()
    keep = bool(rest[1]) if len(rest) > 1 else False
    g = gradient if keep else _unsqueezed(gradient, dims, x.ndim)
    return {slot.index: g * torch.where(n > 0, (x + b) / torch.where(n > 0, n, 1), 0)}


def max_pool(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Max pooling by the cross-maximum: what the larger maximum exceeds the other by goes to where it stands.

    If the photo's maximum y is larger, Δy belongs to the place of y; else to the place of the background's maximum y'.
    """
    slot = operation.args[0]
    gradient, indices = gradients[0], operation.outputs[1]
    output = operation.outputs[0]
    assert gradient is not None
    assert indices is not None
    assert output is not None
    x, b = photo.values[slot.index], background.values[slot.index]
    y, y_ = photo.values[output], background.values[output]
    places = torch.where(y >= y_, photo.values[indices], background.values[indices])
    return {slot.index: _to_places(gradient * (y - y_), places.flatten(2), x, b)}


def _to_places(parts: Tensor, places: Tensor, x: Tensor, b: Tensor) -> Tensor:
    """Multipliers that give each place of a map (by its flat index) its parts of the difference."""
    sums = torch.zeros_like(x.flatten(2)).scatter_add(2, places, parts.flatten(2)).view(x.shape)
    difference = x - b
    return torch.where(difference != 0, sums / torch.where(difference != 0, difference, 1), 0)


def largest(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Largest number along dimensions (amax, max), by the cross-maximum."""
    slot = operation.args[0]
    gradient = gradients[0]
    if gradient is None:
        return {}
    x, b = photo.values[slot.index], background.values[slot.index]
    dims = operation.args[1] if len(operation.args) > 1 else list(range(x.ndim))
    dims = [dim % x.ndim for dim in (dims if isinstance(dims, (list, tuple)) else [dims])] or list(range(x.ndim))
    y, y_ = x.amax(dims, keepdim=True), b.amax(dims, keepdim=True)
    first = torch.where(y >= y_, x == y, b == y_)
    share = first / first.sum(dims, keepdim=True)
    parts = _spread(gradient, operation, x, dims) * (y - y_) * share
    difference = x - b
    return {slot.index: torch.where(difference != 0, parts / torch.where(difference != 0, difference, 1), 0)}


def pair_largest(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """The larger, or smaller, of two numbers, by the cross-maximum."""
    (gradient,) = gradients
    assert gradient is not None
    sign = 1 if operation.name == "maximum" else -1
    first, second = operation.args[:2]
    x, b = (sign * torch.stack(_pair(tape, first, second)) for tape in (photo, background))
    y, y_ = x.amax(0), b.amax(0)
    wins = torch.where(y >= y_, x == y, b == y_)
    parts = gradient * (y - y_) * wins / wins.sum(0)
    difference = x - b
    m = torch.where(difference != 0, parts / torch.where(difference != 0, difference, 1), 0)
    result: Found = {}
    for slot, part in zip((first, second), m, strict=True):
        if photo.depends[slot.index]:
            folded = _fold(part, photo.values[slot.index])
            result[slot.index] = result[slot.index] + folded if slot.index in result else folded
    return result


def _pair(tape: Tape, first: Slot, second: Slot) -> tuple[Tensor, Tensor]:
    left, right = tape.values[first.index], tape.values[second.index]
    shape = torch.broadcast_shapes(left.shape, right.shape)  # type: ignore[no-untyped-call]
    return left.expand(shape), right.expand(shape)


def chosen(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Choice of numbers (where, topk), which is the chain rule if both runs choose the same.

    Raises:
        ConvAtlasError: They do not.
    """
    choice = operation.args[0].index if operation.name == "where" else operation.outputs[1]
    assert choice is not None
    if not torch.equal(photo.values[choice], background.values[choice]):
        raise ConvAtlasError(no_rule(NAME, operation, ", which chooses otherwise for the background"))
    return vjp(photo, operation, gradients)


def nothing(photo: Tape, background: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> Found:
    """Nothing: the result jumps where it changes, and must not change between the runs."""
    for index in operation.outputs:
        if index is not None and not torch.equal(photo.values[index], background.values[index]):
            raise ConvAtlasError(no_rule(NAME, operation, ", whose result jumps between photo and background"))
    return {}


def _spread(gradient: Tensor, operation: Operation, x: Tensor, dims: Sequence[int] | int) -> Tensor:
    """Gradient of a reduction with its dimensions kept."""
    if gradient.ndim == x.ndim:
        return gradient
    return _unsqueezed(gradient, dims, x.ndim)


def _unsqueezed(gradient: Tensor, dims: Sequence[int] | int, ndim: int) -> Tensor:
    for dim in sorted(dim % ndim for dim in ([dims] if isinstance(dims, int) else dims)):
        gradient = gradient.unsqueeze(dim)
    return gradient


def _fold(gradient: Tensor, like: Tensor) -> Tensor:
    """Sum a gradient over the dimensions in which a tensor was broadcast."""
    return gradient.sum_to_size(like.shape) if gradient.shape != like.shape else gradient


SPECIAL: dict[str, Callable[[Tape, Tape, Operation, Sequence[Tensor | None]], Found]] = {
    "relu": relu,
    "where": chosen,
    "topk": chosen,
    "_softmax": softmax,
    "_safe_softmax": softmax,
    "_log_softmax": log_softmax,
    "logsumexp": log_sum_exp,
    "native_layer_norm": layer_norm,
    "native_group_norm": group_norm,
    "linalg_vector_norm": vector_norm,
    "max_pool2d_with_indices": max_pool,
    "max_pool3d_with_indices": max_pool,
    "amax": largest,
    "max": largest,
    "maximum": pair_largest,
    "minimum": pair_largest,
    **dict.fromkeys(STEPS, nothing),
}
"""Operations with a rule of their own."""
