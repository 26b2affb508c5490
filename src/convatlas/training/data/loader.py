"""Load the batches of an epoch, as a function of (seed, epoch, step) and of the process's shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.training.data.dataset import TrainingData, index_batches
from convatlas.training.data.mixup import draw_mixture
from convatlas.training.distributed import World
from convatlas.training.recipe import Recipe
from convatlas.training.seeding import permutation


@dataclass(frozen=True)
class Batch:
    """The batch of one step.

    Attributes:
        indices: Indices of all its photos, over all processes.
        x: This process's photos (N, C, H, W), mixed with others if the recipe says so.
        labels: Their class indices (N,), or their boxes (N, T, 5).
        target: Their target probabilities (N, classes); of photos with boxes the boxes too.
    """

    indices: Tensor
    x: Tensor
    labels: Tensor
    target: Tensor


def steps_per_epoch(train: TrainingData, recipe: Recipe) -> int:
    """Number of batches in an epoch; the last one may be smaller."""
    return -(-len(train) // recipe.batch_size)


def load_batches(
    train: TrainingData, recipe: Recipe, classes: int, world: World, epoch: int, start: int
) -> Iterator[Batch]:
    """Yield the batches of an epoch from step `start` on."""
    batches = index_batches(permutation(recipe.seed, epoch, len(train)), recipe.batch_size)[start:]
    mixtures = [draw_mixture(recipe, epoch, step, len(indices)) for step, indices in enumerate(batches, start)]
    positions = [_shard_positions(len(indices), world) for indices in batches]
    # Partners of mixed photos have to be read too.
    shards = [
        indices[position if mixture is None else torch.cat([position, mixture.partner[position]])]
        for indices, position, mixture in zip(batches, positions, mixtures, strict=True)
    ]
    photos = train.train_batches(shards, epoch)
    for indices, mixture, (x, labels) in zip(batches, mixtures, photos, strict=True):
        target = labels if labels.ndim > 1 else F.one_hot(labels, classes).float()
        if mixture is not None:
            (x, partners), (target, partner_targets) = x.chunk(2), target.chunk(2)
            x, target = mixture.mix_photos(x, partners), mixture.mix_targets(target, partner_targets, *x.shape[2:])
        yield Batch(indices, x, labels[: len(x)], target)


def _shard_positions(count: int, world: World) -> Tensor:
    """Positions in a batch that belong to this process; if there are none, one placeholder with weight 0."""
    positions = world.shard(torch.arange(count))
    return positions if len(positions) else torch.zeros(1, dtype=torch.long)
