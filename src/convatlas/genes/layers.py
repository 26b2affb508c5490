"""The two layers that hold almost all weights, with the random weights they start from; and what counts itself.

On the meta device there is nothing to fill, and not trying to halves the time a net's shape takes to build.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

CHUNK = 2**14
"""Numbers drawn at a time: few enough to stay in the cache, and that PyTorch starts no threads for them, which cost
more than they save where others use the machine too."""


@torch.no_grad()
def uniform(tensor: Tensor, deviation: float) -> None:
    """Fills `tensor` from the uniform distribution around 0 with this standard deviation.

    As `Tensor.uniform_`, it follows PyTorch's generator; but for large tensors it takes from it no more than a seed for
    numpy's fastest one, which halves the time.
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
    """A 2-d convolution that starts with variance 2 / fan-out (He et al. 2015), drawn uniformly, and biases of 0."""

    def reset_parameters(self) -> None:
        if self.weight.is_meta:
            return
        fan_out = self.out_channels * self.kernel_size[0] * self.kernel_size[1]
        uniform(self.weight, (2 / fan_out) ** 0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class Dense(nn.Linear):
    """A dense layer that starts with deviation 0.01, drawn uniformly, and biases of 0."""

    def reset_parameters(self) -> None:
        if self.weight.is_meta:
            return
        uniform(self.weight, 0.01)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class SelfCounting(nn.Module, ABC):
    """A leaf that says itself what it costs, for an output of a `shape` (N, ...): what it calls does not show it.

    Attributes:
        steps: How often it repeats itself in one call.
        layers: Convolutions or dense layers on the longest way through it, once.
    """

    steps = 1
    layers = 1

    @abstractmethod
    def macs(self, shape: Sequence[int]) -> int:
        """Multiply-accumulates of one call, all steps."""

    def connections(self, shape: Sequence[int]) -> int:
        """Links into its units, those from the constant 1 of the biases among them."""
        return self.macs(shape)

    def units(self, shape: Sequence[int]) -> int:
        """The units that these links lead to."""
        return prod(shape)
