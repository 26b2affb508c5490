"""Compare the outputs of an engine or a file with the net's in PyTorch's eager mode."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.engines.export.graph import outputs_of

FACTOR = 10.0
"""Bound on the error of an engine in float32, in units of eager mode's own distance from float64."""

EXACT = 1e-9
"""Bound on the error in float64, in units of the outputs' standard deviation."""

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
        self.single: Array = outputs_of(net, x).numpy()
        if not np.isfinite(self.single).all():
            raise ConvAtlasError(
                f"{type(net).__name__} has outputs that are not finite (infinite or NaN), with which nothing "
                "can be compared"
            )

    @cached_property
    def double(self) -> Array:
        """Outputs of the same weights, computed in float64."""
        y: Array = outputs_of(float64_copy(self.net), self.x.double()).numpy()
        return y

    @cached_property
    def scale(self) -> float:
        """Standard deviation of the outputs; 1 if they are all equal."""
        return float(self.double.std()) or 1.0

    @cached_property
    def bound(self) -> float:
        """Largest error allowed in float32: ten times eager's own, or ten times the outputs' rounding if larger."""
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

    def exact_deviation(self, y: Array) -> Deviation:
        """Deviation of outputs computed in float64 from those in float64."""
        return self._deviation(y, self.double, EXACT)

    def _deviation(self, y: Array, expected: Array, bound: float) -> Deviation:
        if y.shape != expected.shape:
            return Deviation(float("nan"), bound)
        return Deviation(float(np.abs(y.astype(np.float64) - expected).max()) / self.scale, bound)


def float64_copy(net: nn.Module) -> nn.Module:
    """Copy a net with its parameters and buffers in float64; `Module.double` may compute constants again instead."""
    with torch.no_grad():
        twin = copy.deepcopy(net)
        for module in twin.modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None and tensor.is_floating_point():
                        wide = tensor.detach().double()
                        tensors[name] = nn.Parameter(wide) if isinstance(tensor, nn.Parameter) else wide  # type: ignore[assignment]
    return twin
