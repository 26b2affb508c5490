"""Shift digits by whole pixels at random, as Sabour et al. 2017 (section 5) enlarged their data."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.training.seeding import Stream, generator


class RandomShifts:
    """One random shift for each photo of an epoch, each whole number of pixels up to `most` being equally likely.

    Args:
        count: Number of photos.
        most: Largest shift, in pixels, to each of the four sides.
        seed: Seed of the training.
        epoch: Epoch, from 0.

    Attributes:
        amounts: Drawn shifts (count, 2): down and right.
    """

    def __init__(self, count: int, most: int, seed: int, epoch: int):
        drawn = generator(Stream.SHIFT, seed, epoch).integers(-most, most + 1, (count, 2))
        self.most, self.amounts = most, torch.from_numpy(drawn)

    def __call__(self, x: Tensor, indices: Tensor, background: float) -> Tensor:
        """Shift the photos (N, C, H, W) with these indices; pixels from outside of a photo are `background`."""
        return shift(x, self.amounts[indices], background)


def shift(x: Tensor, amounts: Tensor, background: float) -> Tensor:
    """Shift each photo (N, C, H, W) down and right by its `amounts` (N, 2), whole numbers; the same shape.

    Pixels from outside of a photo are `background`.
    """
    most = int(amounts.abs().max()) if len(amounts) else 0
    padded = F.pad(x, (most, most, most, most), value=background)
    rows, columns = (
        torch.arange(side) + most - amount[:, None] for side, amount in zip(x.shape[2:], amounts.unbind(1), strict=True)
    )
    photos = torch.arange(len(x))[:, None, None]
    # Indices separated by a slice put the channels last.
    return padded[photos, :, rows[:, :, None], columns[:, None, :]].movedim(3, 1)  # (N, C, H, W)
