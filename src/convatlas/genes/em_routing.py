"""EM routing: each parent is a Gaussian fitted to the votes of its children (Hinton, Sabour & Frosst 2018)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.genes.label import Label
from convatlas.genes.layers import SelfCounting

VARIANCE_EPSILON = 5e-4
"""Added to every variance, as in the authors' code: with one child it would be 0, and the density infinite."""

WEIGHT_EPSILON = 1e-8
"""Added to the summed weight of a parent's votes, so that its mean is finite even without votes."""


@dataclass(frozen=True)
class Windows:
    """The window of children that the parents at each position read, which may be the children's whole grid.

    Attributes:
        grid: Height and width of the children's grid.
        kernel: Height and width of the window.
        stride: Step of the window.
    """

    grid: tuple[int, int]
    kernel: tuple[int, int]
    stride: int = 1

    @property
    def positions(self) -> tuple[int, int]:
        """Height and width of the parents' grid."""
        height, width = [(side - k) // self.stride + 1 for side, k in zip(self.grid, self.kernel, strict=True)]
        if height < 1 or width < 1:
            raise ValueError(f"a window of {self.kernel} capsules does not fit into a grid of {self.grid}")
        return height, width

    def links(self) -> tuple[list[list[int]], list[int]]:
        """Return two index tables: which window places read each child, and where each place is in the first table.

        A place is a position within a window; the places of all windows are numbered in one sequence.

        Returns:
            For each position in the children's grid, the numbers of the places that read it, padded to equal length
            with the first unused number; and for each place, its flat index in that table.
        """
        height, width = self.positions
        kh, kw = self.kernel
        read: list[list[int]] = [[] for _ in range(self.grid[0] * self.grid[1])]
        entries = []
        for window in range(height * width):
            row, column = window // width * self.stride, window % width * self.stride
            for place in range(kh * kw):
                child = (row + place // kw) * self.grid[1] + column + place % kw
                entries.append((child, len(read[child])))
                read[child].append(window * kh * kw + place)
        longest = max(map(len, read))
        return (
            [row + [len(entries)] * (longest - len(row)) for row in read],
            [child * longest + column for child, column in entries],
        )


@dataclass(frozen=True)
class EMRound:
    """One round of EM routing; L windows, P places in each, B children at a place, J parents of a window, D pose size.

    Attributes:
        couplings: R, the fraction of a child assigned to a parent (N, L, P, B, J); it sums to 1 over all parents of
            all windows that read the child.
        poses: Means of the parents' Gaussians (N, L, J, D).
        variances: Variances of the Gaussians, same shape.
        activations: Activations of the parents (N, L, J), in (0, 1).
    """

    couplings: Tensor
    poses: Tensor
    variances: Tensor
    activations: Tensor


class EMRouting(SelfCounting):
    """Routing by EM in `steps` rounds, from `types` types of children to `parents` types of parents.

    Votes (N, L, P, B, J, D) and the children's activations (N, L, P, B) -> poses (N, L, J, D), activations (N, L, J).

    M: each parent's mean and variance of the votes, weighted by R times the child's activation; activation =
    logistic(lambda (beta_a - n sum over D of (beta_u + ln sigma))). E: R = softmax of ln activation + ln density, over
    all parents that read the child, at any position; computed in logarithms, for which float32 suffices.

    n is the summed weight of a parent's votes, divided by its average over parents when all children are active. So
    layers with many and with few children per parent share one scale (Gritzman 2019; the authors divide lambda by 4 in
    the last layer instead). On this scale lambda = 1 - 0.95^t in round t: the authors' 0.01 (1 - 0.95^t) for 100 units.
    The gradient flows through all rounds.

    There are 2 J parameters, beta_a (initially 0) and beta_u (initially 3) of each type of parent. With these initial
    values about half of the capsules of every layer are active, as the authors intend, and three rounds can be trained.
    """

    label = Label("EM routing", "routing")
    layers = 0

    def __init__(self, windows: Windows, types: int, parents: int, steps: int):
        super().__init__()
        self.windows, self.types, self.steps = windows, types, steps
        self.beta_a = nn.Parameter(torch.empty(parents))
        self.beta_u = nn.Parameter(torch.empty(parents))
        read, places = windows.links()
        self.register_buffer("read", torch.empty(len(read), len(read[0]), dtype=torch.long), persistent=False)
        self.register_buffer("places", torch.empty(len(places), dtype=torch.long), persistent=False)

    read: Tensor
    places: Tensor

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.beta_a)
        nn.init.constant_(self.beta_u, 3.0)
        read, places = self.windows.links()
        self.read.copy_(torch.tensor(read))
        self.places.copy_(torch.tensor(places))

    def forward(self, votes: Tensor, activations: Tensor) -> tuple[Tensor, Tensor]:
        *_, last = self._rounds(votes, activations)
        return last.poses, last.activations  # (N, L, J, D), (N, L, J)

    def trace(self, votes: Tensor, activations: Tensor) -> list[EMRound]:
        """Return all rounds; `forward` returns poses and activations of the last one."""
        return list(self._rounds(votes, activations))

    def _rounds(self, votes: Tensor, activations: Tensor) -> Iterator[EMRound]:
        windows = self.windows
        average = prod(windows.grid) * self.types / (prod(windows.positions) * len(self.beta_a))
        logits = votes.new_zeros(votes.shape[:5])
        for step in range(1, self.steps + 1):
            couplings = self._compete(logits)
            weights = (couplings * activations.unsqueeze(-1)).unsqueeze(-1)  # (N, L, P, B, J, 1)
            weight = weights.sum((2, 3))  # (N, L, J, 1)
            divisor = weight + WEIGHT_EPSILON
            means = (weights * votes).sum((2, 3)) / divisor
            square = (votes - means[:, :, None, None]).square()
            variances = (weights * square).sum((2, 3)) / divisor + VARIANCE_EPSILON
            cost = (self.beta_u.unsqueeze(-1) + variances.log() / 2).sum(-1) * (weight.squeeze(-1) / average)
            logit = (1 - 0.95**step) * (self.beta_a - cost)
            yield EMRound(couplings, means, variances, logit.sigmoid())
            if step < self.steps:
                distance = (square * (1 / variances)[:, :, None, None]).sum(-1)
                peak = F.logsigmoid(logit) - (2 * math.pi * variances).log().sum(-1) / 2
                logits = peak[:, :, None, None] - distance / 2

    def _compete(self, logits: Tensor) -> Tensor:
        """Return the softmax over all parents of all windows that read a child; (N, L, P, B, J), same shape."""
        batch, _, _, types, parents = logits.shape
        flat = logits.flatten(1, 2)  # (N, L P, B, J)
        unread = flat.new_full((batch, 1, types, parents), torch.finfo(flat.dtype).min)
        by_child = torch.cat([flat, unread], 1)[:, self.read]  # (N, positions, readings, B, J)
        shares = by_child.movedim(3, 2).flatten(3).softmax(3)  # (N, positions, B, readings J)
        back = shares.reshape(batch, len(self.read), types, -1, parents).movedim(3, 2).flatten(1, 2)
        return back[:, self.places].reshape(logits.shape)

    def macs(self, shape: Sequence[int]) -> int:
        """Return multiply-accumulates over all votes: mean and variance in each round, a distance between rounds."""
        votes = prod(self.windows.positions) * prod(self.windows.kernel) * self.types * len(self.beta_a)
        return (3 * self.steps - 1) * shape[0] * votes * self.pose(shape)

    def pose(self, shape: Sequence[int]) -> int:
        """Return the size of a vote, from the shape of the output."""
        return shape[-1]

    def connections(self, shape: Sequence[int]) -> int:
        """Return 0, because no parameter weights a connection between units."""
        return 0

    def units(self, shape: Sequence[int]) -> int:
        """Return 0; see `connections`."""
        return 0

    def extra_repr(self) -> str:
        return f"{self.windows.grid} -> {self.windows.positions} x {len(self.beta_a)}, {self.steps} rounds"


class VectorEM(EMRouting):
    """EM routing from all children to all parents, for capsules whose length is their activation.

    Votes (N, children, parents, size) and the children's lengths (N, children) -> capsules (N, parents, size), each
    with the direction of its Gaussian's mean and the length of its activation.
    """

    needs_lengths = True

    def __init__(self, children: int, parents: int, steps: int):
        super().__init__(Windows((children, 1), (children, 1)), 1, parents, steps)

    def forward(self, votes: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        poses, activations = super().forward(votes[:, None, :, None], lengths[:, None, :, None])
        return F.normalize(poses[:, 0], dim=-1) * activations[:, 0].unsqueeze(-1)  # (N, parents, size)

    def trace(self, votes: Tensor, lengths: Tensor) -> list[EMRound]:
        """Return all rounds, with one window and one child at each place."""
        return super().trace(votes[:, None, :, None], lengths[:, None, :, None])
