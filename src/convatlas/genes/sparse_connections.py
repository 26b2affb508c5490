"""Convolutions whose outputs read only some of the inputs, by a connection table (LeCun et al. 1990, 1998)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.genes.label import Label
from convatlas.genes.layers import SelfCounting
from convatlas.genes.padding import MODES, Fill

Links = tuple[tuple[int, ...], ...]
"""Indices of the inputs that each output reads."""


def half_table(channels: int, outputs: int) -> Links:
    """Return a table in which each output reads half of the inputs: neighbours, wrapping around at the end."""
    starts = (output * channels // outputs for output in range(outputs))
    spans = ((start, start + (channels + 1) // 2) for start in starts)
    return tuple((*range(end - channels), *range(start, min(end, channels))) for start, end in spans)


class LinkedConvolution(SelfCounting):
    """A 2-d convolution with one kernel for each link in a connection table.

    (N, C, H, W) -> (N, K, H', W') for K rows of `links`. The kernels are stored output by output, (links, k, k). As in
    `Convolution` they are initialized with variance 2 / fan-out, here the average over the inputs, and biases with 0.
    """

    label = Label("linked convolution", "convolution", short="linked conv")

    def __init__(
        self,
        channels: int,
        links: Links,
        kernel: tuple[int, int],
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
        dilation: int = 1,
        bias: bool = True,
        fill: Fill = "zeros",
    ):
        super().__init__()
        self.channels, self.links, self.kernel = channels, links, kernel
        self.stride, self.padding, self.dilation, self.fill = stride, padding, dilation, fill
        self.weight = nn.Parameter(torch.empty(sum(map(len, links)), *kernel))
        self.bias = nn.Parameter(torch.empty(len(links))) if bias else None
        self.register_buffer("table", torch.empty(len(links), channels, dtype=torch.long), persistent=False)
        self.reset_parameters()

    table: Tensor

    def reset_parameters(self) -> None:
        if self.weight.is_meta:
            return
        outputs = torch.arange(len(self.links)).repeat_interleave(torch.tensor([len(row) for row in self.links]))
        inputs = torch.tensor([channel for row in self.links for channel in row])
        # Missing links point to the kernel of zeros that `forward` appends.
        table = torch.full((len(self.links), self.channels), len(inputs))
        table[outputs, inputs] = torch.arange(len(inputs))
        self.table.copy_(table)
        bound = math.sqrt(6 * self.channels / self.weight.numel())
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        kernels = torch.cat([self.weight, self.weight.new_zeros(1, *self.kernel)])[self.table]  # (K, C, k, k)
        if any(self.padding):
            rows, columns = self.padding
            x = F.pad(x, (columns, columns, rows, rows), mode=MODES[self.fill])  # (N, C, H + 2 rows, W + 2 columns)
        return F.conv2d(x, kernels, self.bias, self.stride, dilation=self.dilation)

    def macs(self, shape: Sequence[int]) -> int:
        return shape[0] * shape[2] * shape[3] * self.weight.numel()

    def connections(self, shape: Sequence[int]) -> int:
        return self.macs(shape) + (math.prod(shape) if self.bias is not None else 0)

    def extra_repr(self) -> str:
        links = f"{self.weight.shape[0]} of {len(self.links) * self.channels} links"
        return f"{self.channels}, {len(self.links)}, {self.kernel}, stride {self.stride}, {links}"
