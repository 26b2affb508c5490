"""The two layers that hold almost all weights, with the random weights they start from; and what counts itself.

On the meta device there is nothing to fill, and not trying to halves the time a net's shape takes to build.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod

from torch import nn

BOUND = 0.01 * 3**0.5
"""Of a uniform distribution with deviation 0.01."""


class Convolution(nn.Conv2d):
    """A 2-d convolution that starts with variance 2 / fan-out (He et al. 2015), drawn uniformly, and biases of 0."""

    def reset_parameters(self) -> None:
        if self.weight.is_meta:
            return
        nn.init.kaiming_uniform_(self.weight, mode="fan_out", nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class Dense(nn.Linear):
    """A dense layer that starts with deviation 0.01, drawn uniformly, and biases of 0."""

    def reset_parameters(self) -> None:
        if self.weight.is_meta:
            return
        nn.init.uniform_(self.weight, -BOUND, BOUND)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class Counted(nn.Module, ABC):
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
