"""Distort digits by random affine maps, as LeCun et al. 1998 (section III-A) enlarged their data, and deslant them.

The paper does not say how strongly; `MAX_AMOUNTS` is our choice.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.training.seeding import Stream, generator

MAX_AMOUNTS = torch.tensor([2.5, 2.5, 0.15, 0.15, 0.35])
"""Largest amounts at `distort` = 1: shift right and shift down in pixels, scale, squeeze (wider and lower by the same
factor), horizontal shear."""


class AffineDistortions:
    """One random affine distortion for each photo of an epoch.

    Args:
        count: Number of photos.
        strength: 0 for no distortion, 1 for amounts up to `MAX_AMOUNTS`.
        seed: Seed of the training.
        epoch: Epoch, from 0.

    Attributes:
        amounts: Drawn amounts (count, 5), in the order of `MAX_AMOUNTS`.
    """

    def __init__(self, count: int, strength: float, seed: int, epoch: int):
        drawn = generator(Stream.DISTORTION, seed, epoch).random((count, len(MAX_AMOUNTS)), dtype="float32")
        self.amounts = (2 * torch.from_numpy(drawn) - 1) * MAX_AMOUNTS * strength

    def __call__(self, x: Tensor, indices: Tensor, background: float) -> Tensor:
        """Distort the photos (N, C, H, W) with these indices; pixels from outside of a photo are `background`."""
        right, down, scale, squeeze, shear = self.amounts[indices].unbind(1)
        wide, tall = 1 / (1 + scale + squeeze), 1 / (1 + scale - squeeze)
        height, width = x.shape[2:]
        zero = torch.zeros_like(right)
        # From a position in the output to its position in the input, in units of half the sides.
        matrix = torch.stack(
            [wide, shear * height / width, -2 * right / width, zero, tall, -2 * down / height], 1
        ).reshape(-1, 2, 3)
        return _warp(x, matrix.to(x), background)


def deslant(x: Tensor) -> Tensor:
    """Shear digits (N, 1, H, W) with background 0 horizontally until their ink has no slant; its centroid stays.

    The slant is that of the ink's second moments: the covariance of x and y over the variance of y.
    """
    height, width = x.shape[2:]
    ys, xs = torch.meshgrid(torch.arange(height, dtype=x.dtype), torch.arange(width, dtype=x.dtype), indexing="ij")
    ink = x[:, 0] / x[:, 0].sum((1, 2), keepdim=True).clamp_min(1e-6)
    row, column = (ink * ys).sum((1, 2)), (ink * xs).sum((1, 2))
    down, right = ys - row[:, None, None], xs - column[:, None, None]
    slant = (ink * down * right).sum((1, 2)) / (ink * down.square()).sum((1, 2)).clamp_min(1e-6)
    ones, zeros = torch.ones_like(slant), torch.zeros_like(slant)
    middle = row - (height - 1) / 2
    # In units of half the sides, with the origin in the middle of the photo; the centroid has to stay.
    matrix = torch.stack([ones, slant * height / width, -2 * slant * middle / width, zeros, ones, zeros], 1)
    return _warp(x, matrix.reshape(-1, 2, 3), 0.0)


def _warp(x: Tensor, matrix: Tensor, background: float) -> Tensor:
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)  # (N, H, W, 2)
    if background == 0:
        return F.grid_sample(x, grid, align_corners=False)
    return F.grid_sample(x - background, grid, align_corners=False) + background
