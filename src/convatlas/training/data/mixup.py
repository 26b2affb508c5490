"""Mix each photo with another one of its batch by mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.training.recipe import Recipe
from convatlas.training.seeding import Stream, generator


@dataclass(frozen=True)
class Mixture:
    """How the photos of one step are mixed.

    Attributes:
        partner: Position in the batch of the photo that is mixed into each (N,).
        share: Weight of each photo itself, 0 to 1; its partner has the rest.
        box: CutMix's box (top, left, bottom, right) as shares of the sides; None for mixup.
    """

    partner: Tensor
    share: float
    box: tuple[float, float, float, float] | None

    def mix_photos(self, x: Tensor, partners: Tensor) -> Tensor:
        """Mix photos (N, C, H, W) with their partners (N, C, H, W)."""
        if self.box is None:
            return x * self.share + partners * (1 - self.share)
        rows, columns = self._slices(x.shape[2], x.shape[3])
        x = x.clone()
        x[:, :, rows, columns] = partners[:, :, rows, columns]
        return x

    def mix_targets(self, target: Tensor, partners: Tensor, height: int, width: int) -> Tensor:
        """Mix target probabilities (N, classes) with the partners', by the share of pixels that each has."""
        share = self.share
        if self.box is not None:
            rows, columns = self._slices(height, width)
            share = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
        return target * share + partners * (1 - share)

    def _slices(self, height: int, width: int) -> tuple[slice, slice]:
        """The box as slices of rows and columns."""
        assert self.box is not None
        y0, x0, y1, x1 = self.box
        return slice(round(y0 * height), round(y1 * height)), slice(round(x0 * width), round(x1 * width))


def draw_mixture(recipe: Recipe, epoch: int, step: int, count: int) -> Mixture | None:
    """Draw how a step mixes its `count` photos; None if the recipe uses neither mixup nor CutMix."""
    if not (recipe.mixup or recipe.cutmix):
        return None
    random = generator(Stream.MIXTURE, recipe.seed, epoch, step)
    is_cutmix = bool(recipe.cutmix) and (not recipe.mixup or random.random() < 0.5)
    partner = torch.from_numpy(random.permutation(count))
    alpha = recipe.cutmix if is_cutmix else recipe.mixup
    share = float(random.beta(alpha, alpha))
    if not is_cutmix:
        return Mixture(partner, share, None)
    side, y, x = (1 - share) ** 0.5, random.random(), random.random()
    box = (max(y - side / 2, 0), max(x - side / 2, 0), min(y + side / 2, 1), min(x + side / 2, 1))
    return Mixture(partner, share, box)
