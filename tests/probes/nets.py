"""Small nets that compute in ways in which explanation libraries fail."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Functional(nn.Module):
    """Functional ReLUs, one module used twice, sums and slices in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first(x))
        z = self.act(self.second(y)) + 0
        z += y
        z[:, :2] = z[:, :2] * 2
        out = torch.zeros_like(z)
        out[:, ::2] = z[:, 1::2]
        out[:, 1::2] = self.act(z)[:, ::2]
        out[:, 0].mul_(0.5)
        return self.head(F.max_pool2d(out, 2).mean((2, 3)))


class Square(torch.autograd.Function):
    """A square whose own backward is a lie."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x * x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient


class Custom(nn.Module):
    """A scripted child and an autograd function of the user."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = torch.jit.script(nn.BatchNorm2d(4).eval())
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(Square.apply(self.norm(self.conv(x))).mean((2, 3)))


class ThroughNumpy(nn.Module):
    """A branch that leaves PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.head((y + torch.from_numpy(y.detach().numpy() * 2)).mean((2, 3)))


class Gated(nn.Module):
    """A gate, attention, normalizations, softmax and an exponential: all kinds of rules in one net."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 1)
        self.norm, self.group = nn.LayerNorm(8), nn.GroupNorm(2, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.group(self.conv(x)))
        y = y * torch.sigmoid(self.gate(F.adaptive_avg_pool2d(y, 1)))
        tokens = self.norm(y.flatten(2).mT)
        tokens = tokens + F.scaled_dot_product_attention(tokens, tokens * 0.5, F.gelu(tokens))
        best = torch.maximum(tokens[:, ::2].amax(1), tokens[:, 1::2].amax(1))
        squashed = best / (1 + best.square().sum(1, keepdim=True).sqrt())
        return torch.log_softmax(self.head(squashed), 1)
