"""Photos in memory, all of one size: a batch is a row of numbers taken out of one tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from convatlas.base.errors import TrainingError
from convatlas.training.data.affine import Distortions
from convatlas.training.recipe import Recipe


class Examples(Protocol):
    """Photos with the numbers of their classes.

    Attributes:
        labels: (count,), int64.
    """

    labels: Tensor

    def shown(self, plan: Sequence[Tensor], epoch: int) -> Iterator[Tensor]:
        """For each row of numbers the net's input (N, C, H, W), as epoch `epoch` has it."""

    def seen(self, plan: Sequence[Tensor]) -> Iterator[Tensor]:
        """The same as a net is tested with: without any augmentation."""

    def part(self, numbers: Tensor) -> Examples:
        """Only the photos with these numbers."""


class InMemory:
    """Photos in memory.

    Args:
        photos: The net's input (count, C, H, W), float32.
        labels: Numbers of the classes (count,).
        recipe: Says how they are distorted while training.
        paper: What lies outside of a photo.
    """

    def __init__(self, photos: Tensor, labels: Tensor, recipe: Recipe, paper: float = 0.0):
        self.photos, self.labels, self.recipe, self.paper = photos, labels.long(), recipe, paper

    def shown(self, plan: Sequence[Tensor], epoch: int) -> Iterator[Tensor]:
        if not self.recipe.distort:
            yield from self.seen(plan)
            return
        distort = Distortions(len(self.photos), self.recipe.distort, self.recipe.seed, epoch)
        for numbers in plan:
            yield distort(self.photos[numbers], numbers, self.paper)

    def seen(self, plan: Sequence[Tensor]) -> Iterator[Tensor]:
        for numbers in plan:
            yield self.photos[numbers]

    def part(self, numbers: Tensor) -> InMemory:
        return InMemory(self.photos[numbers], self.labels[numbers], self.recipe, self.paper)


def check_labels(labels: Tensor, classes: int, what: str) -> None:
    """Refuses photos whose class is none of the net's, naming the first.

    Raises:
        TrainingError: There are some, or no photos at all.
    """
    if not len(labels):
        raise TrainingError(f"there are no {what} photos")
    wrong = ((labels < 0) | (labels >= classes)).nonzero()
    if len(wrong):
        first = int(wrong[0])
        raise TrainingError(
            f"{what} photo {first} is of class {int(labels[first])}, but the net has {classes} classes, 0 to "
            f"{classes - 1} ({len(wrong)} such photos)"
        )


def batches(numbers: Tensor, size: int) -> list[Tensor]:
    """The numbers in rows of `size`; the last one may be shorter."""
    return list(torch.split(numbers, size))
