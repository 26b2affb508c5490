"""What a net is shown in an epoch, batch by batch: a function of (seed, epoch, step), and of the process's share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.training.data.in_memory import Examples, batches
from convatlas.training.data.mixup import mixture
from convatlas.training.distributed import World
from convatlas.training.recipe import Recipe
from convatlas.training.seeding import order


@dataclass(frozen=True)
class Batch:
    """The photos of one step.

    Attributes:
        numbers: Of all of them, over all processes.
        x: Those that fall to this process (N, C, H, W), mixed with others if the recipe wants it.
        labels: Numbers of their classes (N,).
        target: Shares of the classes in them (N, classes).
    """

    numbers: Tensor
    x: Tensor
    labels: Tensor
    target: Tensor


def steps_of_epoch(train: Examples, recipe: Recipe) -> int:
    """How many batches an epoch has; the last one may be smaller."""
    return -(-len(train.labels) // recipe.batch_size)


def feed(train: Examples, recipe: Recipe, classes: int, world: World, epoch: int, done: int) -> Iterator[Batch]:
    """The batches of an epoch, without the first `done` of them."""
    plan = batches(order(recipe.seed, epoch, len(train.labels)), recipe.batch_size)[done:]
    mixtures = [mixture(recipe, epoch, step, len(numbers)) for step, numbers in enumerate(plan, done)]
    places = [_places(len(numbers), world) for numbers in plan]
    # Where photos are mixed the partners have to be read too.
    wanted = [
        numbers[place if mixed is None else torch.cat([place, mixed.partner[place]])]
        for numbers, place, mixed in zip(plan, places, mixtures, strict=True)
    ]
    photos = train.shown(wanted, epoch)
    for numbers, mine, mixed, x in zip(plan, wanted, mixtures, photos, strict=True):
        labels = train.labels[mine]
        target = F.one_hot(labels, classes).float()
        if mixed is not None:
            (x, others), (target, wrong) = x.chunk(2), target.chunk(2)
            x, target = mixed.photos(x, others), mixed.targets(target, wrong, *x.shape[2:])
        yield Batch(numbers, x, labels[: len(x)], target)


def _places(count: int, world: World) -> Tensor:
    """Which photos of a batch fall to this process; one that counts nothing where there are too few."""
    mine = world.mine(torch.arange(count))
    return mine if len(mine) else torch.zeros(1, dtype=torch.long)
