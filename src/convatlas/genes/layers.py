"""The two layers that hold almost all weights, with the random weights they start from.

On the meta device there is nothing to fill, and not trying to halves the time a net's shape takes to build.
"""

from __future__ import annotations

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
