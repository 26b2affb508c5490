"""The protocol of data sets to train on, and checks of their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from convatlas.base.errors import TrainingError


class TrainingData(Protocol):
    """Photos with the truth about them: class indices (N,), or boxes (N, T, 5) as `detection_loss` takes them."""

    def __len__(self) -> int:
        """Number of photos."""

    def train_batches(self, batches: Sequence[Tensor], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the net's input (N, C, H, W) and the truth for each batch of indices, augmented as in this epoch."""

    def eval_batches(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the net's input (N, C, H, W) and the truth for each batch of indices, without augmentation."""

    def subset(self, indices: Tensor) -> TrainingData:
        """Data set that holds only the photos with these indices."""


@runtime_checkable
class ImageDataset(TrainingData, Protocol):
    """Photos with their class indices.

    Attributes:
        labels: Class indices (count,), int64.
    """

    labels: Tensor

    def subset(self, indices: Tensor) -> ImageDataset:
        """Data set that holds only the photos with these indices."""


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
