"""Capsules: groups of units whose vector says how an entity looks, and its length, below 1, whether it is there.

A capsule layer is votes (what each child would have each parent be) and a routing (which votes count: `routing`, `em`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.genes.label import Label


def squash(s: Tensor) -> Tensor:
    """Brings vectors to a length below 1: v = s |s| / (1 + |s|^2) over the last side (Sabour et al. 2017, equation 1).

    Without a constant to keep the root away from 0: the norm's gradient is 0 there, and so is that of the product.
    """
    length: Tensor = torch.linalg.vector_norm(s, dim=-1, keepdim=True)
    return s * (length / (1 + length * length))


class Squash(nn.Module):
    """Maps as capsules of `size` units, squashed; (N, types size, H, W) -> (N, types H W, `size`), type by type."""

    label = Label("squash", "activation")

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        return squash(x.reshape(batch, -1, self.size, height, width).movedim(2, -1).flatten(1, 3))

    def extra_repr(self) -> str:
        return str(self.size)


class Length(nn.Module):
    """How long each capsule is; (N, capsules, size) -> (N, capsules), each in [0, 1)."""

    label = Label("length", "routing")

    def forward(self, capsules: Tensor) -> Tensor:
        length: Tensor = torch.linalg.vector_norm(capsules, dim=-1)
        return length


class Votes(nn.Module):
    """W_ij u_i, what child i would have parent j be; (N, children, size) -> (N, children, parents, wide).

    A matrix for every pair: children parents wide size parameters, started with deviation 0.1 as the authors' code does
    (with 1 every capsule is as long as every other, and nothing is learned).
    """

    label = Label("capsule votes", "dense")
    deviation = 0.1

    def __init__(self, children: int, parents: int, size: int, wide: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(children, parents, wide, size))

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=self.deviation)

    def forward(self, children: Tensor) -> Tensor:
        return torch.einsum("nic,ijdc->nijd", children, self.weight)

    def extra_repr(self) -> str:
        children, parents, wide, size = self.weight.shape
        return f"{children} of {size} -> {parents} of {wide}"


class Mask(nn.Module):
    """All capsules in a row but those of other classes, which are 0; (N, J, size) and (N,) -> (N, J size)."""

    label = Label("mask", "routing")

    def forward(self, capsules: Tensor, chosen: Tensor) -> Tensor:
        numbers = torch.arange(capsules.shape[1], device=capsules.device)
        return (capsules * (numbers == chosen[:, None]).unsqueeze(-1)).flatten(1)
