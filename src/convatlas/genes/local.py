"""The locally connected layer: a convolution with a different kernel at each position."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.genes.label import Label


class LocallyConnected(nn.Module):
    """A k x k window with a separate kernel at each position, zero padded; (N, C, H, W) -> (N, outputs, H, W).

    Source: LeCun 1989, "local connections"; darknet's layer `local`.
    """

    label = Label("locally connected", "convolution")

    def __init__(self, channels: int, outputs: int, kernel: int, size: tuple[int, int]):
        super().__init__()
        self.kernel = kernel
        self.weight = nn.Parameter(torch.empty(size[0] * size[1], outputs, channels * kernel * kernel))
        self.bias = nn.Parameter(torch.empty(outputs, *size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.weight.is_meta:
            return
        bound = math.sqrt(6 / self.weight.shape[2])  # variance 2 / fan-in (He et al. 2015)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        patches = F.unfold(x, self.kernel, padding=self.kernel // 2)  # (N, C k k, H W)
        # This order of axes lets `torch.export` keep N dynamic.
        y = torch.matmul(patches.permute(2, 0, 1), self.weight.mT)  # (H W, N, outputs)
        return y.permute(1, 2, 0).view(-1, *self.bias.shape) + self.bias  # (N, outputs, H, W)

    def extra_repr(self) -> str:
        outputs, height, width = self.bias.shape
        return f"{self.weight.shape[2] // self.kernel**2}, {outputs}, {self.kernel}, {height} x {width}"
