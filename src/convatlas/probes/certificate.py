"""Certificates: whether what goes back through a net is the truth about it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.base.terminal.arguments import argument
from convatlas.probes.tape.backward import backward
from convatlas.probes.tape.doubled import doubled
from convatlas.probes.tape.record import Score, record, recordable
from convatlas.probes.tape.tape import Tape

STEP = {torch.float64: 1e-7, torch.float32: 1e-3}
"""Length of the first step for the derivative, by precision, relative to the input's standard deviation."""

BOUND = {torch.float64: 1e-3, torch.float32: 5e-2}
"""Largest relative difference between gradient and derivative, by precision."""

SAME = {torch.float64: 1e-9, torch.float32: 1e-3}
"""Largest relative difference between two ways to compute a gradient, by precision."""

BESIDE = 1e-2
"""Distance of the point at which the certificate is made from the photo, in standard deviations of the photo."""

LONGEST = 1e-2
"""Longest step, relative to the input's standard deviation."""

ROUNDING = 4
"""Rounding of a score along a net, in units of the precision."""

DIRECTIONS = 4
"""Directions to try: a step may cross a kink of a net of pieces."""

SHORTER = 0.1
"""Length of each further step, relative to the one before: the pieces of a deep net are narrow."""


@dataclass(frozen=True)
class Certificate:
    """That a net's gradient is the derivative of its score, checked along a random direction.

    Attributes:
        difference: Distance between the gradient and two forward passes, relative to the larger one.
        precision: Precision of the check: "float64", or "float32" for a net that cannot run in float64.
        autograd: Whether PyTorch's own backward gives the same gradient; functions with a backward of their own may
            give another.
        memory: Bytes of what the net computes for one photo, all of which is kept to go back through it.
    """

    difference: float
    precision: str
    autograd: bool
    memory: int = 0

    @property
    def note(self) -> str | None:
        """Sentence about a check below float64; None if it was made in float64."""
        if self.precision == "float64":
            return None
        bound = BOUND[getattr(torch, self.precision)]
        return (
            f"the net does not run in float64: its gradient was compared with the derivative in {self.precision}, "
            f"where {bound:.0%} of difference is allowed instead of {BOUND[torch.float64]:.1%}"
        )


_known: weakref.WeakKeyDictionary[nn.Module, dict[Any, Certificate]] = weakref.WeakKeyDictionary()


def certificates(net: nn.Module) -> Sequence[Certificate]:
    """Return the certificates that are known of a net."""
    return list(_known.get(net, {}).values())


def known_certificate(net: nn.Module, x: Tensor, key: object) -> Certificate | None:
    """Return the certificate of a net for this shape of input and these targets; None if there is none yet."""
    return _known.get(net, {}).get((tuple(x.shape), key, version(net)))


def certify(net: nn.Module, x: Tensor, tape: Tape, score: Score, key: object) -> Certificate:
    """Certify a net's tape, once for each net, shape of input and target; the certificate is kept in memory.

    Args:
        net: The net.
        x: Its input, (1, C, h, w).
        tape: The tape of the net and this input.
        score: Function from the net's output to the scores of the targets, (N, T).
        key: Names of the targets.

    Raises:
        ConvAtlasError: A value that depends on the photo leaves PyTorch or enters from nowhere, or the gradient is not
            the derivative; the text names where, and what to use instead.
    """
    if tape.leaks:
        raise _refused(tape.leaks[0])
    state = (tuple(x.shape), key, version(net))
    known = _known.setdefault(net, {})
    if state not in known:
        known[state] = replace(_checked(net, x, score), memory=tape.memory(tape.photo))
    return known[state]


def _checked(net: nn.Module, x: Tensor, score: Score) -> Certificate:
    # Flat parts of a photo lie on kinks of max pooling, where no gradient is the derivative; a point beside does not.
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(x)
    x = x + BESIDE * max(float(x.std()) if x.numel() > 1 else 0.0, BESIDE) * noise
    try:
        return _compared(doubled(net), x.double(), score)
    except (RuntimeError, TypeError):
        # The net holds tensors or casts that only fit its own precision.
        return _compared(net, x, score)


def _compared(net: nn.Module, x: Tensor, score: Score) -> Certificate:
    tape = record(net, x, score)
    gradient = backward(tape, [tape.photo])[tape.photo]
    generator = torch.Generator().manual_seed(0)
    best = float("inf")
    deviation = max(float(x.std()) if x.numel() > 1 else 0.0, 1e-3)
    norm = float(gradient.double().norm())
    rounding = ROUNDING * torch.finfo(x.dtype).eps * float(tape.values[tape.output].abs().sum())
    for trial in range(DIRECTIONS):
        direction = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
        change = max(abs(float((gradient * direction).double().sum())), 0.1 * norm)
        # A net may hardly depend on its photo: over a short step, its score changes by less than is rounded away.
        needed = rounding / (BOUND[x.dtype] * change) if change > 0 else 0.0
        step = min(max(STEP[x.dtype] * SHORTER**trial * deviation, needed), LONGEST * deviation)
        up, down = (record(net, x + sign * step * direction, score) for sign in (1, -1))
        _check_strangers(up, down)
        difference = (up.values[up.output] - down.values[down.output]).double().sum()
        derivative = float(difference) / (2 * step)
        expected = float((gradient * direction).double().sum())
        scale = max(abs(expected), abs(derivative), 0.1 * norm)
        best = min(best, abs(derivative - expected) / scale if scale > 0 else 0.0)
        if best <= BOUND[x.dtype] / 10:
            break
    if not best <= BOUND[x.dtype]:
        raise _refused(f"its gradient differs from its derivative by {best:.1%}")
    return Certificate(best, str(x.dtype).removeprefix("torch."), _autograd_agrees(net, x, score, gradient))


def _autograd_agrees(net: nn.Module, x: Tensor, score: Score, gradient: Tensor) -> bool:
    try:
        scores, gradient_of = autograd(recordable(net, x).net, x, score)
        other = torch.stack([gradient_of(target) for target in range(scores.shape[1])]).sum(0)
    # The user's own backward may raise anything, and inference tensors have none.
    except Exception:
        return False
    return float((other - gradient).norm()) <= SAME[x.dtype] * float(gradient.norm())


def autograd(net: nn.Module, x: Tensor, score: Score) -> tuple[Tensor, Callable[..., Tensor]]:
    """Run a net as PyTorch's autograd does.

    Args:
        net: The net.
        x: Its inputs, (N, C, h, w).
        score: Function from the net's output to the scores of the targets, (N, T).

    Returns:
        The scores, (N, T), and a function of a target's number that returns the gradient of its score at each input.
        Asked for with `last`, what the net computed is freed on the way, and no other gradient can follow.
    """
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        # A clone, since nets may write into their input.
        scores = score(net(leaf.clone()))
    if scores.ndim == 1:
        scores = scores[:, None]

    def gradient(target: int, last: bool = False) -> Tensor:
        (result,) = torch.autograd.grad(scores[:, target].sum(), leaf, retain_graph=not last, allow_unused=True)
        return torch.zeros_like(leaf) if result is None else result

    return scores, gradient


def _check_strangers(up: Tape, down: Tape) -> None:
    """A tensor from outside that changes with the photo was computed from it out of PyTorch's sight."""
    for first, second in zip(up.strangers, down.strangers, strict=False):
        a, b = up.values[first], down.values[second]
        if a.shape != b.shape or not torch.equal(a, b):
            reader = next((str(operation) for operation in up.operations if first in operation.inputs), "the net")
            raise _refused(f"a value that depends on the photo enters from outside of PyTorch at {reader}")


def _refused(reason: str) -> ConvAtlasError:
    return ConvAtlasError(
        f"no gradient of this net can be certified: {reason}; use a probe of scores (occlusion, rise)"
    )


def version(net: nn.Module) -> tuple[int, ...]:
    """Changes when a parameter or buffer is written to."""
    tensors = [*net.parameters(), *net.buffers()]
    return tuple(0 if tensor.is_inference() else tensor._version for tensor in tensors)


CONDITION = 1e6
"""Largest sum of |relevance| at any operation, relative to what is explained, for which a map is shown."""

RESIDUAL = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Largest distance from completeness by precision, relative to max(|f(x)|, |f(b)|)."""


class Imprecise(ConvAtlasError):
    """A sum that is off by more than the precision allows; a higher precision may be enough."""


def check_residual(total: float, score: float, dtype: torch.dtype, probe: str, other: float = 0.0) -> float:
    """Return the relative distance of a sum from the score that it should be.

    Raises:
        Imprecise: It is above the bound of the precision.
    """
    scale = max(abs(score), other)
    residual = abs(total - score) / scale if scale > 0 else abs(total - score)
    if not residual <= RESIDUAL.get(dtype, 1e-5):
        more = "" if dtype == torch.float64 else f"{argument('precision', 'float64')} may help, otherwise "
        raise Imprecise(
            f"{probe} does not sum to the score: {residual:.1e} of it is missing in {str(dtype)[6:]}; "
            f"{more}use integrated_gradients or a probe of scores"
        )
    return residual


def check_condition(largest: float, explained: float, probe: str) -> float:
    """Return the condition number of a map.

    Raises:
        ConvAtlasError: It is above the bound.
    """
    condition = largest / abs(explained) if explained != 0 else float("inf") if largest > 0 else 0.0
    if not condition <= CONDITION:
        raise ConvAtlasError(
            f"{probe} is ill-conditioned on this net: parts of {condition:.0e} times the score cancel; use "
            "integrated_gradients or a probe of scores (occlusion, rise)"
        )
    return condition
