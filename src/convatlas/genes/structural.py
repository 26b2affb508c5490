"""Modules without a gene that split, join, reorder or scale maps: sums, concatenations, slices, shuffles, scalings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.genes.label import Label


class Add(nn.Module):
    """Sum of tensors of one shape."""

    label = Label("sum", "skip")

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        total = first
        for other in others:
            total = total + other
        return total  # (N, C, H, W)


class Multiply(nn.Module):
    """Product of a map and a gate that broadcasts to it."""

    label = Label("product", "skip")

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return x * gate  # (N, C, H, W)


class Concat(nn.Module):
    """Concatenation along the channels; (N, C_i, H, W) -> (N, sum C_i, H, W)."""

    label = Label("concatenation", "skip")

    def forward(self, *maps: Tensor) -> Tensor:
        return torch.cat(maps, 1)  # (N, sum C_i, H, W)


class ZeroChannels(nn.Module):
    """Append `count` channels of zeros (He et al. 2015, shortcut A); (N, C, H, W) -> (N, C + count, H, W)."""

    label = Label("zero channels", "skip")

    def __init__(self, count: int):
        super().__init__()
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, 0, self.count))  # (N, C + count, H, W)

    def extra_repr(self) -> str:
        return str(self.count)


class Repeat(nn.Module):
    """Repeat each channel `times` times; (N, C, H, W) -> (N, times C, H, W)."""

    label = Label("repetition", "skip")

    def __init__(self, times: int):
        super().__init__()
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(self.times, 1)  # (N, times C, H, W)

    def extra_repr(self) -> str:
        return str(self.times)


class Slice(nn.Module):
    """Channels from `start` to `stop`, exclusive; (N, C, H, W) -> (N, stop - start, H, W)."""

    label = Label("channel slice", "skip")

    def __init__(self, start: int, stop: int):
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.start : self.stop]  # (N, stop - start, H, W)

    def extra_repr(self) -> str:
        return f"{self.start}:{self.stop}"


class Shuffle(nn.Module):
    """Interleave the channels of `groups` groups (Zhang et al. 2018, ShuffleNet); (N, C, H, W), same shape."""

    label = Label("channel shuffle", "skip")

    def __init__(self, groups: int):
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, 1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)  # (N, C, H, W)

    def extra_repr(self) -> str:
        return str(self.groups)


class Scale(nn.Module):
    """Multiply a map by a constant, as Szegedy et al. 2016 scale residuals before the sum; same shape."""

    label = Label("scaling", "skip", "scale", "scale")

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor  # (N, C, H, W)

    def extra_repr(self) -> str:
        return str(self.factor)


class LayerScale(nn.Module):
    """Multiply each channel by a learned number, initially 1e-6 (Touvron et al. 2021); C parameters, same shape."""

    label = Label("scaling", "skip", "scale", "scale")

    def __init__(self, channels: int, initial: float = 1e-6):
        super().__init__()
        self.initial = initial
        self.weight = nn.Parameter(torch.full((channels,), initial))

    def reset_parameters(self) -> None:
        nn.init.constant_(self.weight, self.initial)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None]  # (N, C, H, W)
