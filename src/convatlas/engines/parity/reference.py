"""Outputs of a net in eager mode, and how far those of an engine or a file may differ from them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.base.untouched import same_random_state
from convatlas.engines.export.graph import outputs_of
from convatlas.engines.parity.float64 import run_in_float64

FACTOR = 10.0
"""Bound on the error of an engine in float32, in units of eager mode's own distance from float64."""

EXACT = 1e-9
"""Bound on the error in float64, in units of the outputs' standard deviation."""

STATED = 1e-3
"""Bound on the error in float32 of a net that cannot be computed in float64, in the same units."""

REPETITIONS = 8
"""Further runs of a net that draws random numbers, to see whether its outputs depend on them."""

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Deviation:
    """Difference of outputs from those of eager mode.

    Attributes:
        error: Largest difference, in units of the standard deviation of eager's outputs; NaN for another shape.
        bound: Largest error allowed; infinite for reduced precisions, where agreement counts instead.
    """

    error: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the error is within the bound; False for NaN."""
        return self.error <= self.bound


class Reference:
    """Outputs of a net in eager mode, in float32 and in float64, for the same inputs.

    Args:
        net: The net, on the CPU and in float32.
        x: Inputs (N, C, H, W), float32.

    Raises:
        ConvAtlasError: The net does not run on them, or its outputs are not finite.
    """

    def __init__(self, net: nn.Module, x: Tensor):
        self.net, self.x = net, x
        with same_random_state():
            self.single: Array = outputs_of(net, x).numpy()
        if not np.isfinite(self.single).all():
            raise ConvAtlasError(
                f"{type(net).__name__} has outputs that are not finite (infinite or NaN), with which nothing "
                "can be compared"
            )

    def check_repeatable(self) -> None:
        """Check that the net has the same outputs in every run; its noise would be taken for an error of eager mode.

        Raises:
            ConvAtlasError: It draws random numbers, or keeps a state between runs.
        """
        rounding = FACTOR * float(np.finfo(np.float32).eps) * float(np.abs(self.single).max())
        with same_random_state():
            for number in range(REPETITIONS):
                torch.manual_seed(number)
                before = _random_states()
                again: Array = outputs_of(self.net, self.x).numpy()
                if again.shape != self.single.shape or not float(np.abs(again - self.single).max()) <= rounding:
                    raise ConvAtlasError(
                        f"{type(self.net).__name__} has other outputs each time it is run on the same input, with "
                        "which nothing can be compared: it draws random numbers (dropout, noise) in evaluation mode "
                        "too, or keeps a state"
                    )
                # Two runs may agree by chance, but only if numbers were drawn.
                if _random_states() == before:
                    return

    @cached_property
    def double(self) -> Array | None:
        """Outputs of the same weights, computed in float64; None if the net cannot be computed in float64."""
        y = run_in_float64(self.net, self.x)
        return None if y is None or y.shape != self.single.shape else y.numpy()

    @cached_property
    def best(self) -> Array:
        """Outputs in float64, or else in float32."""
        return self.single.astype(np.float64) if self.double is None else self.double

    @cached_property
    def scale(self) -> float:
        """Standard deviation of the outputs; 1 if they are all equal."""
        return float(self.best.std()) or 1.0

    @cached_property
    def bound(self) -> float:
        """Largest error allowed in float32.

        It is ten times eager mode's own, or ten times the outputs' rounding if that is larger; `STATED` for a net that
        cannot be computed in float64, whose own error is unknown.
        """
        if self.double is None:
            return STATED
        rounding = float(np.finfo(np.float32).eps) * float(np.abs(self.double).max())
        own = max(float(np.abs(self.single - self.double).max()), rounding)
        return FACTOR * own / self.scale

    def distance(self, y: Array) -> float:
        """Largest difference from the outputs in float32, in their standard deviations; infinite for another shape."""
        if y.shape != self.single.shape:
            return float("inf")
        return float(np.abs(y - self.single).max()) / (float(self.single.astype(np.float64).std()) or 1.0)

    def deviation(self, y: Array) -> Deviation:
        """Deviation of an engine's outputs from those in float32."""
        return self._deviation(y, self.single, self.bound)

    def program_deviation(self, program: nn.Module, rows: slice) -> Deviation:
        """Deviation of an exported program's outputs for some of the inputs, in float64 if it and the net have any."""
        x = self.x[rows]
        y = None if self.double is None else run_in_float64(program, x)
        if y is not None and self.double is not None:
            return self._deviation(y.numpy(), self.double[rows], EXACT)
        with torch.no_grad():
            return self._deviation(program(x).numpy(), self.single[rows], self.bound)

    def _deviation(self, y: Array, expected: Array, bound: float) -> Deviation:
        if y.shape != expected.shape:
            return Deviation(float("nan"), bound)
        return Deviation(float(np.abs(y.astype(np.float64) - expected).max()) / self.scale, bound)


def _random_states() -> tuple[object, ...]:
    """States of the generators that a net may draw from: PyTorch's, Python's and NumPy's."""
    numpy = np.random.get_state(legacy=False)["state"]  # noqa: NPY002 - nets that draw use this one
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), numpy["key"].tobytes(), numpy["pos"]
