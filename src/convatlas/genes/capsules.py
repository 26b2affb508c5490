"""Capsules: vectors whose direction describes an entity and whose length, below 1, says whether it is present.

A capsule layer computes votes (each child capsule's prediction of each parent capsule) and routes them (`routing`,
`em_routing`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.genes.label import Label


def squash(s: Tensor) -> Tensor:
    """Shrink vectors to a length below 1: v = s |s| / (1 + |s|^2) over the last axis (Sabour et al. 2017, equation 1).

    No epsilon is needed under the root: at 0 the gradients of the norm and of the product are both 0.
    """
    length: Tensor = torch.linalg.vector_norm(s, dim=-1, keepdim=True)
    return s * (length / (1 + length * length))


class Squash(nn.Module):
    """Reshape maps to capsules of `size` numbers and squash them; (N, types size, H, W) -> (N, types H W, size).

    Capsules are sorted by type, then by position.
    """

    label = Label("squash", "activation")

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape  # (N, types size, H, W)
        return squash(x.reshape(batch, -1, self.size, height, width).movedim(2, -1).flatten(1, 3))

    def extra_repr(self) -> str:
        return str(self.size)


class Length(nn.Module):
    """Length of each capsule; (N, capsules, size) -> (N, capsules), each in [0, 1)."""

    label = Label("length", "routing")

    def forward(self, capsules: Tensor) -> Tensor:
        length: Tensor = torch.linalg.vector_norm(capsules, dim=-1)  # (N, capsules)
        return length


class Votes(nn.Module):
    """Votes W_ij u_i of child i for parent j; (N, children, size) -> (N, children, parents, parent_size).

    There is a matrix for every pair: children parents parent_size size parameters, initially with standard deviation
    0.1 as in the authors' code (with 1 all capsules have the same length, and nothing is learned).
    """

    label = Label("capsule votes", "dense")
    deviation = 0.1

    def __init__(self, children: int, parents: int, size: int, parent_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(children, parents, parent_size, size))

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=self.deviation)

    def forward(self, children: Tensor) -> Tensor:
        return torch.einsum("nic,ijdc->nijd", children, self.weight)  # (N, children, parents, parent_size)

    def extra_repr(self) -> str:
        children, parents, parent_size, size = self.weight.shape
        return f"{children} of {size} -> {parents} of {parent_size}"


class Mask(nn.Module):
    """Set all capsules except the one of class `chosen` to 0, and flatten; (N, J, size) and (N,) -> (N, J size)."""

    label = Label("mask", "routing")

    def forward(self, capsules: Tensor, chosen: Tensor) -> Tensor:
        classes = torch.arange(capsules.shape[1], device=capsules.device)
        return (capsules * (classes == chosen[:, None]).unsqueeze(-1)).flatten(1)  # (N, J size)
