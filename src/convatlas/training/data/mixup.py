"""Mixup and cutmix: each photo with a part of another one of its batch (Zhang et al. 2018, Yun et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.training.recipe import Recipe
from convatlas.training.seeding import Lot, generator


@dataclass(frozen=True)
class Mixture:
    """How the photos of one step are mixed.

    Attributes:
        partner: Which photo of the batch goes into each (N,).
        share: How much of each stays, 0 to 1.
        box: What is pasted, in shares of the sides: top, left, bottom, right; None to lay over instead.
    """

    partner: Tensor
    share: float
    box: tuple[float, float, float, float] | None

    def photos(self, x: Tensor, others: Tensor) -> Tensor:
        """The photos (N, C, H, W) with parts of the others, which are their partners."""
        if self.box is None:
            return x * self.share + others * (1 - self.share)
        top, left, bottom, right = self._pixels(x.shape[2], x.shape[3])
        x = x.clone()
        x[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
        return x

    def targets(self, target: Tensor, others: Tensor, height: int, width: int) -> Tensor:
        """Shares of the classes in them."""
        share = self.share
        if self.box is not None:
            top, left, bottom, right = self._pixels(height, width)
            share = 1 - (bottom - top) * (right - left) / (height * width)
        return target * share + others * (1 - share)

    def _pixels(self, height: int, width: int) -> tuple[int, int, int, int]:
        assert self.box is not None
        top, left, bottom, right = self.box
        return round(top * height), round(left * width), round(bottom * height), round(right * width)


def mixture(recipe: Recipe, epoch: int, step: int, count: int) -> Mixture | None:
    """How a step mixes its `count` photos; None where nothing is mixed."""
    if not (recipe.mixup or recipe.cutmix):
        return None
    random = generator(Lot.MIXTURE, recipe.seed, epoch, step)
    paste = bool(recipe.cutmix) and (not recipe.mixup or random.random() < 0.5)
    partner = torch.from_numpy(random.permutation(count))
    alpha = recipe.cutmix if paste else recipe.mixup
    share = float(random.beta(alpha, alpha))
    if not paste:
        return Mixture(partner, share, None)
    side, y, x = (1 - share) ** 0.5, random.random(), random.random()
    box = (max(y - side / 2, 0), max(x - side / 2, 0), min(y + side / 2, 1), min(x + side / 2, 1))
    return Mixture(partner, share, box)
