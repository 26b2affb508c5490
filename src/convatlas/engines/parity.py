"""Whether another engine, or a file, computes what the net computes in PyTorch's eager mode (invariant 11)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.engines.export.graph import answers

FACTOR = 10.0
"""In float32, how much farther from float64 another engine may be than eager is."""

EXACT = 1e-9
"""In float64, in units of the outputs' standard deviation."""

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Agreement:
    """How far answers are from eager's.

    Attributes:
        error: The largest difference, in units of the standard deviation of eager's outputs.
        bound: The largest that is allowed; infinite where only agreement counts.
        top1: Share of photos with the same first answer.
    """

    error: float
    bound: float
    top1: float

    @property
    def holds(self) -> bool:
        """Whether the error is within the bound; what is no number is not."""
        return self.error <= self.bound


class Eager:
    """What a net answers to some inputs in eager mode, in float32 and in float64.

    Args:
        net: On the CPU, in float32.
        x: Inputs (N, C, H, W), float32.

    Raises:
        ConvAtlasError: It does not run on them, or its answers are no numbers.
    """

    def __init__(self, net: nn.Module, x: Tensor):
        self.net, self.x = net, x
        self.single: Array = answers(net, x).numpy()
        if not np.isfinite(self.single).all():
            raise ConvAtlasError(
                f"{type(net).__name__} answers with what is no number (infinite or NaN): nothing can be held against it"
            )

    @cached_property
    def double(self) -> Array:
        """The same numbers as weights, and all arithmetic in float64."""
        found: Array = answers(doubled(self.net), self.x.double()).numpy()
        return found

    @cached_property
    def scale(self) -> float:
        """The standard deviation of the outputs; 1 where they are all alike."""
        return float(self.double.std()) or 1.0

    @cached_property
    def bound(self) -> float:
        """What float32 allows: ten times eager's own error, which is at least the rounding of its largest output."""
        rounding = float(np.finfo(np.float32).eps) * float(np.abs(self.double).max())
        own = max(float(np.abs(self.single - self.double).max()), rounding)
        return FACTOR * own / self.scale

    def distance(self, y: Array) -> float:
        """The largest difference to the answers in float32, in units of their deviation; infinite for other shapes."""
        if y.shape != self.single.shape:
            return float("inf")
        return float(np.abs(y - self.single).max()) / (float(self.single.astype(np.float64).std()) or 1.0)

    def agreement(self, y: Array) -> Agreement:
        """Of answers in float32 (or less)."""
        return self._agreement(y, self.single, self.bound)

    def exact(self, y: Array) -> Agreement:
        """Of answers in float64."""
        return self._agreement(y, self.double, EXACT)

    def _agreement(self, y: Array, right: Array, bound: float) -> Agreement:
        if y.shape != right.shape:
            return Agreement(float("nan"), bound, 0.0)
        error = float(np.abs(y.astype(np.float64) - right).max()) / self.scale
        flat, same = y.reshape(len(y), -1), right.reshape(len(y), -1)
        return Agreement(error, bound, float((flat.argmax(1) == same.argmax(1)).mean()))


def doubled(net: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers are the same numbers in float64 (`double` may make constants anew)."""
    with torch.no_grad():
        twin = copy.deepcopy(net)
        for module in twin.modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None and tensor.is_floating_point():
                        wide = tensor.detach().double()
                        tensors[name] = nn.Parameter(wide) if isinstance(tensor, nn.Parameter) else wide  # type: ignore[assignment]
    return twin
