"""What the loop needs of a data set, and data sets in memory: a batch is a selection from one tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from convatlas.base.errors import TrainingError
from convatlas.training.data.affine import AffineDistortions
from convatlas.training.recipe import Recipe


class ImageDataset(Protocol):
    """Photos with their class indices.

    Attributes:
        labels: Class indices (count,), int64.
    """

    labels: Tensor

    def train_batches(self, batches: Sequence[Tensor], epoch: int) -> Iterator[Tensor]:
        """Yield the net's input (N, C, H, W) for each batch of indices, augmented as in this epoch."""

    def eval_batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the net's input (N, C, H, W) for each batch of indices, without augmentation."""

    def subset(self, indices: Tensor) -> ImageDataset:
        """Data set of the photos with these indices alone."""


class InMemoryDataset:
    """Photos in memory, all of one size.

    Args:
        photos: The net's input (count, C, H, W), float32.
        labels: Class indices (count,).
        recipe: Recipe that says how photos are distorted in training.
        background: Value that fills in what lies outside of a photo.
    """

    def __init__(self, photos: Tensor, labels: Tensor, recipe: Recipe, background: float = 0.0):
        self.photos, self.labels, self.recipe, self.background = photos, labels.long(), recipe, background

    def train_batches(self, batches: Sequence[Tensor], epoch: int) -> Iterator[Tensor]:
        if not self.recipe.distort:
            yield from self.eval_batches(batches)
            return
        distort = AffineDistortions(len(self.photos), self.recipe.distort, self.recipe.seed, epoch)
        for indices in batches:
            yield distort(self.photos[indices], indices, self.background)

    def eval_batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        for indices in batches:
            yield self.photos[indices]

    def subset(self, indices: Tensor) -> InMemoryDataset:
        return InMemoryDataset(self.photos[indices], self.labels[indices], self.recipe, self.background)


def check_labels(labels: Tensor, classes: int, split: str) -> None:
    """Refuse an empty split, and labels that are not class indices of the net.

    Raises:
        TrainingError: The split has no photos, or a label is out of range; names the first.
    """
    if not len(labels):
        raise TrainingError(f"the data set has no {split} photos")
    invalid = ((labels < 0) | (labels >= classes)).nonzero()
    if len(invalid):
        first = int(invalid[0])
        raise TrainingError(
            f"{split} photo {first} is of class {int(labels[first])}, but the net has {classes} classes, 0 to "
            f"{classes - 1} ({len(invalid)} such photos)"
        )


def index_batches(indices: Tensor, size: int) -> list[Tensor]:
    """Indices in batches of `size`; the last one may be smaller."""
    return list(torch.split(indices, size))
