"""Data sets in memory, as one tensor of preprocessed photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from convatlas.training.data.affine import AffineDistortions
from convatlas.training.data.shifts import RandomShifts
from convatlas.training.recipe import Recipe


class InMemoryDataset:
    """Photos in memory, all of one size.

    Args:
        photos: The net's input (count, C, H, W), float32.
        labels: Class indices (count,).
        recipe: Recipe that says how photos are distorted and shifted in training.
        background: Value of the pixels outside of a photo.
    """

    def __init__(self, photos: Tensor, labels: Tensor, recipe: Recipe, background: float = 0.0):
        self.photos, self.labels, self.recipe, self.background = photos, labels.long(), recipe, background

    def __len__(self) -> int:
        return len(self.labels)

    def train_batches(self, batches: Sequence[Tensor], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        recipe, count = self.recipe, len(self.photos)
        changes: list[AffineDistortions | RandomShifts] = []
        if recipe.distort:
            changes.append(AffineDistortions(count, recipe.distort, recipe.seed, epoch))
        if recipe.shift:
            changes.append(RandomShifts(count, recipe.shift, recipe.seed, epoch))
        for indices in batches:
            x = self.photos[indices]
            for change in changes:
                x = change(x, indices, self.background)
            yield x, self.labels[indices]

    def eval_batches(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        for indices in batches:
            yield self.photos[indices], self.labels[indices]

    def subset(self, indices: Tensor) -> InMemoryDataset:
        return InMemoryDataset(self.photos[indices], self.labels[indices], self.recipe, self.background)
