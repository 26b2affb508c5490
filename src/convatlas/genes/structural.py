"""Where paths part and meet: slices, sums, joins, products and scalings, each a module of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.genes.label import Label


class Add(nn.Module):
    """The sum of tensors of one shape."""

    label = Label("sum", "skip")

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        total = first
        for other in others:
            total = total + other
        return total


class Multiply(nn.Module):
    """The product of a map and a gate that broadcasts to it."""

    label = Label("product", "skip")

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return x * gate


class Concat(nn.Module):
    """The maps (N, C_i, H, W) side by side: (N, sum C_i, H, W)."""

    label = Label("concatenation", "skip")

    def forward(self, *maps: Tensor) -> Tensor:
        return torch.cat(maps, 1)


class Repeat(nn.Module):
    """Each map `times` times in a row; (N, C, H, W) -> (N, times C, H, W)."""

    label = Label("repetition", "skip")

    def __init__(self, times: int):
        super().__init__()
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(self.times, 1)

    def extra_repr(self) -> str:
        return str(self.times)


class Slice(nn.Module):
    """The maps from number `start` up to, but not including, `stop`; (N, C, H, W) -> (N, stop - start, H, W)."""

    label = Label("channel slice", "skip")

    def __init__(self, start: int, stop: int):
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.start : self.stop]

    def extra_repr(self) -> str:
        return f"{self.start}:{self.stop}"


class Shuffle(nn.Module):
    """The maps of `groups` groups in turn, one of each (Zhang et al. 2018, ShuffleNet); (N, C, H, W), same shape."""

    label = Label("channel shuffle", "skip")

    def __init__(self, groups: int):
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, 1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)

    def extra_repr(self) -> str:
        return str(self.groups)


class Scale(nn.Module):
    """The map times a constant (Szegedy et al. 2016: residuals scaled before they are added)."""

    label = Label("scaling", "skip", "scale", "scale")

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return str(self.factor)


class LayerScale(nn.Module):
    """The map times a learned number a channel, 1e-6 at first (Touvron et al. 2021); C parameters."""

    label = Label("scaling", "skip", "scale", "scale")

    def __init__(self, channels: int, initial: float = 1e-6):
        super().__init__()
        self.initial = initial
        self.weight = nn.Parameter(torch.full((channels,), initial))

    def reset_parameters(self) -> None:
        nn.init.constant_(self.weight, self.initial)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None]
