"""Digits moved, scaled, squeezed, sheared, as LeCun et al. 1998 (section III-A) enlarged their data; and set upright.

The paper gives no amounts; `FARTHEST` is ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.training.seeding import Lot, generator

FARTHEST = torch.tensor([2.5, 2.5, 0.15, 0.15, 0.35])
"""Of `distort` = 1: pixels to the right, pixels down, scale, squeeze (wider and lower by as much), horizontal shear."""


class Distortions:
    """One affine change for each photo of an epoch.

    Args:
        count: Of the photos.
        strength: From 0; 1 is `FARTHEST`.
        seed: Of the training.
        epoch: Whose changes.
    """

    def __init__(self, count: int, strength: float, seed: int, epoch: int):
        drawn = generator(Lot.DISTORTION, seed, epoch).random((count, len(FARTHEST)), dtype="float32")
        self.amounts = (2 * torch.from_numpy(drawn) - 1) * FARTHEST * strength

    def __call__(self, x: Tensor, numbers: Tensor, paper: float) -> Tensor:
        """The photos (N, C, H, W), which have these numbers, changed; what comes in from outside is `paper`."""
        right, down, scale, squeeze, shear = self.amounts[numbers].unbind(1)
        wide, tall = 1 / (1 + scale + squeeze), 1 / (1 + scale - squeeze)
        height, width = x.shape[2:]
        zero = torch.zeros_like(right)
        # From where in the photo a place of the result is taken, in halves of its sides.
        matrix = torch.stack(
            [wide, shear * height / width, -2 * right / width, zero, tall, -2 * down / height], 1
        ).reshape(-1, 2, 3)
        return _taken(x, matrix.to(x), paper)


def upright(x: Tensor) -> Tensor:
    """Digits (N, 1, H, W), paper 0, sheared horizontally until their ink leans to neither side, its centre left alone.

    The slant is that of the ink's second moments: the covariance of x and y over the variance of y.
    """
    height, width = x.shape[2:]
    y, along = torch.meshgrid(torch.arange(height, dtype=x.dtype), torch.arange(width, dtype=x.dtype), indexing="ij")
    ink = x[:, 0] / x[:, 0].sum((1, 2), keepdim=True).clamp_min(1e-6)
    row, column = (ink * y).sum((1, 2)), (ink * along).sum((1, 2))
    down, right = y - row[:, None, None], along - column[:, None, None]
    slant = (ink * down * right).sum((1, 2)) / (ink * down.square()).sum((1, 2)).clamp_min(1e-6)
    one, zero = torch.ones_like(slant), torch.zeros_like(slant)
    middle = row - (height - 1) / 2
    # In halves of the sides, whose origin is the photo's middle; the centre of the ink has to stay.
    matrix = torch.stack([one, slant * height / width, -2 * slant * middle / width, zero, one, zero], 1)
    return _taken(x, matrix.reshape(-1, 2, 3), 0.0)


def _taken(x: Tensor, matrix: Tensor, paper: float) -> Tensor:
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    if paper == 0:
        return F.grid_sample(x, grid, align_corners=False)
    return F.grid_sample(x - paper, grid, align_corners=False) + paper
