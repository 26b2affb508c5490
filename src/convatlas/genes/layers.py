"""Convolution and dense layers with their initialization, and the base class of layers that count their own costs.

On the meta device initialization is skipped, which halves the time to build a net there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

CHUNK = 2**14
"""Numbers drawn at a time: few enough to fit into the cache, and for PyTorch not to start threads, which cost more than
they save on a busy machine."""


@torch.no_grad()
def uniform(tensor: Tensor, deviation: float) -> None:
    """Fill `tensor` from the uniform distribution around 0 with the standard deviation `deviation`.

    Like `Tensor.uniform_` it depends on PyTorch's generator only; but for large tensors that generator gives just a
    seed for NumPy's fastest one, which takes half the time.
    """
    bound = 3**0.5 * deviation
    if tensor.numel() < CHUNK or tensor.dtype != torch.float32 or not tensor.is_contiguous():
        tensor.uniform_(-bound, bound)
        return
    generator = np.random.SFC64(int(torch.randint(2**62, ())))
    for part in torch.split(tensor.view(-1), CHUNK):
        drawn = generator.random_raw(CHUNK // 2).view(np.int32)  # 32 bits each, from -2^31 up
        part.copy_(torch.from_numpy(drawn[: part.numel()])).mul_(bound / 2**31)


class Convolution(nn.Conv2d):
    """A 2-d convolution initialized uniformly with variance 2 / fan-out (He et al. 2015), biases 0."""

    def reset_parameters(self) -> None:
        if self.weight.is_meta:
            return
        fan_out = self.out_channels * self.kernel_size[0] * self.kernel_size[1]
        uniform(self.weight, (2 / fan_out) ** 0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class Dense(nn.Linear):
    """A dense layer initialized uniformly with standard deviation 0.01, biases 0."""

    def reset_parameters(self) -> None:
        if self.weight.is_meta:
            return
        uniform(self.weight, 0.01)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class SelfCounting(nn.Module, ABC):
    """A leaf module that computes its own costs, because they cannot be derived from its weights and output shape.

    Each method takes the `shape` (N, ...) of the output.

    Attributes:
        steps: Repetitions within one call, such as routing rounds.
        layers: Convolutions and dense layers on the longest path through one repetition.
    """

    steps = 1
    layers = 1

    @abstractmethod
    def macs(self, shape: Sequence[int]) -> int:
        """Multiply-accumulates of one call, over all steps."""

    def connections(self, shape: Sequence[int]) -> int:
        """Connections into its units, including those from the constant 1 of the biases."""
        return self.macs(shape)

    def units(self, shape: Sequence[int]) -> int:
        """Units that these connections lead to."""
        return prod(shape)
