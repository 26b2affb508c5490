"""Cells of Fukushima's cognitron and neocognitron, whose response is the positive part of (1 + e) / (1 + h) - 1.

e is the excitation, h the (shunting) inhibition. This is a reconstruction. The equations are those of the papers
(Biological Cybernetics 20, 1975 and 36, 1980). The papers describe the fixed connections and the initial values of the
learned ones in words; the numbers are ours, chosen so that the patterns of the 1980 paper are distinguished. Fixed
connections decay with the distance.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.genes.label import Label

INHIBITORY_DECAY, EXCITATORY_DECAY = 0.9, 0.7
"""Decay per pixel of fixed connections: those that inhibit S-cells, and those that excite C-cells."""

INITIAL_WEIGHT = 0.2
"""Upper bound of the sum of a cell's initial learned weights."""

C_CELL_WEIGHT = 4.0
"""Weight from an S-cell to the C-cell at the same position."""

Size = tuple[int, int]


def falloff(kernel: Size, decay: float = INHIBITORY_DECAY) -> Tensor:
    """Return weights (height, width): `decay` to the power of the distance from the centre, whose weight is 1."""
    rows, columns = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2 for side in kernel)
    return (decay ** (rows[:, None] ** 2 + columns**2).sqrt()).float()


def shunt(excitation: Tensor, inhibition: Tensor) -> Tensor:
    """Return the positive part of (1 + excitation) / (1 + inhibition) - 1; same shape."""
    return ((1 + excitation) / (1 + inhibition) - 1).clamp_min(0)


class VCells(nn.Module):
    """v = sqrt(sum of c u^2 over a window of all planes), c fixed and summing to 1; (N, C, H, W) -> (N, 1, H', W')."""

    label = Label("V-cells", "normalization")

    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.kernel = kernel
        self.register_buffer("fixed", torch.empty(1, channels, kernel, kernel), persistent=False)

    fixed: Tensor

    def reset_parameters(self) -> None:
        fixed = falloff((self.kernel, self.kernel)).expand_as(self.fixed)
        self.fixed.copy_(fixed / fixed.sum())

    def forward(self, x: Tensor) -> Tensor:
        # The constant keeps the gradient of the root finite at 0.
        return (F.conv2d(x * x, self.fixed) + 1e-12).sqrt()  # (N, 1, H', W')


class Excitation(nn.Conv2d):
    """e = sum a x over a window of all planes, without padding; (N, C, H, W) -> (N, planes, H', W').

    It is a convolution whose weights a are initially small and positive; learning increases them.
    """

    def __init__(self, channels: int, planes: int, kernel: int):
        super().__init__(channels, planes, kernel, bias=False)

    def reset_parameters(self) -> None:
        nn.init.uniform_(self.weight, 0, INITIAL_WEIGHT / self.weight[0].numel())


class SCells(nn.Module):
    """u = r positive((1 + e) / (1 + r / (1 + r) b v) - 1); e (N, K, H, W), v (N, 1, H, W) -> (N, K, H, W).

    Each plane has one b. r is the selectivity: with a = q c x* and b = q v*, q large, a cell fires where the cosine
    between x and the learned x* (weighted by c) exceeds r / (1 + r); its response is 1 where the cosine is 1.
    """

    label = Label("S-cells", "activation")

    def __init__(self, planes: int, selectivity: float):
        super().__init__()
        self.selectivity = selectivity
        self.weight = nn.Parameter(torch.empty(planes))

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)

    def forward(self, excitation: Tensor, v: Tensor) -> Tensor:
        r = self.selectivity
        return r * shunt(excitation, r / (1 + r) * self.weight[:, None, None] * v)  # (N, K, H, W)

    def extra_repr(self) -> str:
        return f"{len(self.weight)} planes, r {self.selectivity}"


class CCells(nn.Module):
    """x / (alpha + x), x = positive((1 + d * u) / (1 + mean of d * u over planes) - 1); (N, K, H, W) -> (N, K, H', W').

    d is fixed; a C-cell fires if any S-cell of its plane fires within its window.
    """

    label = Label("C-cells", "pooling")

    def __init__(self, kernel: Size, alpha: float = 0.5):
        super().__init__()
        self.kernel, self.alpha = kernel, alpha
        self.register_buffer("fixed", torch.empty(1, 1, *kernel), persistent=False)

    fixed: Tensor

    def reset_parameters(self) -> None:
        self.fixed.copy_(C_CELL_WEIGHT * falloff(self.kernel, EXCITATORY_DECAY))

    def forward(self, u: Tensor) -> Tensor:
        planes = u.shape[1]
        excitation = F.conv2d(u, self.fixed.expand(planes, -1, -1, -1), groups=planes)  # (N, K, H', W')
        x = shunt(excitation, excitation.mean(1, keepdim=True))
        return x / (self.alpha + x)

    def extra_repr(self) -> str:
        return f"{self.kernel[0]} x {self.kernel[1]}, alpha {self.alpha}"


class CognitronCells(nn.Module):
    """u = positive((1 + sum a x) / (1 + b v) - 1), v = sum c x, where each cell has its own a and b.

    (N, C, H, W) -> (N, 1, h, w): `grid` (h, w) cells are spread evenly over the map `below` (H, W); each cell reads a
    window of `kernel` pixels around its position, zero outside the map.
    """

    label = Label("cognitron cells", "convolution")

    def __init__(self, channels: int, below: Size, grid: Size, kernel: int):
        super().__init__()
        self.below, self.grid, self.kernel = below, grid, kernel
        cells, inputs = grid[0] * grid[1], channels * kernel * kernel
        self.weight = nn.Parameter(torch.empty(cells, inputs))
        self.inhibition = nn.Parameter(torch.empty(cells))
        self.register_buffer("fixed", torch.empty(inputs), persistent=False)
        self.register_buffer("positions", torch.empty(cells, dtype=torch.long), persistent=False)

    fixed: Tensor
    positions: Tensor

    def reset_parameters(self) -> None:
        nn.init.uniform_(self.weight, 0, INITIAL_WEIGHT / self.weight.shape[1])
        nn.init.zeros_(self.inhibition)
        window = falloff((self.kernel, self.kernel)).flatten()
        self.fixed.copy_((window / window.sum()).repeat(len(self.fixed) // len(window)))
        self.fixed /= self.fixed.sum()
        rows, columns = (
            ((torch.arange(cells) + 0.5) * side / cells).long()
            for cells, side in zip(self.grid, self.below, strict=True)
        )
        self.positions.copy_((rows[:, None] * self.below[1] + columns).flatten())

    def windows(self, x: Tensor) -> Tensor:
        """Return the inputs of each cell; (N, C, H, W) -> (N, inputs, cells)."""
        return F.unfold(x, self.kernel, padding=self.kernel // 2)[:, :, self.positions]

    def forward(self, x: Tensor) -> Tensor:
        inputs = self.windows(x)  # (N, inputs, cells)
        excitation = torch.einsum("nic,ci->nc", inputs, self.weight)  # (N, cells)
        inhibition = self.inhibition * torch.einsum("nic,i->nc", inputs, self.fixed)
        return shunt(excitation, inhibition).reshape(x.shape[0], 1, *self.grid)

    def extra_repr(self) -> str:
        return f"{self.below} -> {self.grid}, {self.kernel} x {self.kernel}"


class LateralInhibition(nn.Module):
    """Inhibition by the mean of the neighbours: positive((1 + u) / (1 + g * u) - 1); (N, 1, H, W), same shape.

    The kernel g is fixed, sums to 1 and is 0 at the centre.
    """

    label = Label("lateral inhibition", "normalization")

    def __init__(self, kernel: int):
        super().__init__()
        self.kernel = kernel
        self.register_buffer("fixed", torch.empty(1, 1, kernel, kernel), persistent=False)

    fixed: Tensor

    def reset_parameters(self) -> None:
        fixed = falloff((self.kernel, self.kernel))
        fixed[self.kernel // 2, self.kernel // 2] = 0
        self.fixed.copy_(fixed / fixed.sum())

    def forward(self, u: Tensor) -> Tensor:
        return shunt(u, F.conv2d(u, self.fixed, padding=self.kernel // 2))  # (N, 1, H, W)
