"""Small nets whose explanations have a closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.probes.attribution import Attribution
from convatlas.probes.explain import explain
from convatlas.probes.probe import Probe


class Additive(nn.Module):
    """Adds up weighted pixels: the share of a pixel in f(x) − f(b) is weight · (x − b)."""

    def __init__(self, size: tuple[int, int, int], classes: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, *size, generator=torch.Generator().manual_seed(3)).double())
        self.bias = nn.Parameter(torch.arange(classes).double())

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", x, self.weight) + self.bias

    def shares(self, x: Tensor, background: Tensor, target: int = 0) -> Tensor:
        """Share of each pixel, (h, w)."""
        return (self.weight[target] * (x - background)[0]).sum(0).detach()


class OfCells(nn.Module):
    """Any function of the means of the four quarters of a grey input, (N, 4) -> (N,)."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(1).unflatten(1, (2, -1)).unflatten(3, (2, -1)).mean((2, 4)).flatten(1)
        return self.function(means)[:, None]


class InNumpy(nn.Module):
    """A net that computes in numpy alone."""

    def forward(self, x: Tensor) -> Tensor:
        values = np.asarray(x)
        top, rest = values[:, :, :4].mean((1, 2, 3)), np.tanh(values[:, :, 4:]).mean((1, 2, 3))
        return torch.from_numpy(np.stack([top, rest, top * rest], 1))


def photo(channels: int = 3, height: int = 8, width: int = 8, seed: int = 1) -> Tensor:
    """Smooth random numbers, (1, C, h, w), in float64."""
    rough = torch.randn(1, channels, height // 2, width // 2, generator=torch.Generator().manual_seed(seed)).double()
    return nn.functional.interpolate(rough, (height, width), mode="bilinear")


def made(net: nn.Module, x: Tensor, probe: Probe, background: Tensor | None = None, target: object = 0) -> Attribution:
    """The attribution of a net's output; the background is 0 if none is given."""
    result: Attribution = explain(
        net, x, probe, target, background=torch.zeros_like(x) if background is None else background, device="cpu"
    )
    return result
