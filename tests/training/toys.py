"""A toy net with everything that makes resuming hard (batch norms, dropout), and photos it learns in a second."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.images.preprocessing import Preprocessing
from convatlas.training.data.in_memory import InMemoryDataset
from convatlas.training.data.splits import Splits
from convatlas.training.loop import fit
from convatlas.training.recipe import Recipe
from convatlas.training.result import TrainingResult

CLASSES = 4
RECIPE = Recipe(
    epochs=3,
    batch_size=16,
    lr=3e-3,
    weight_decay=0.01,
    warmup_epochs=0.5,
    distort=0.5,
    model_ema=0.9,
    val_split=0.2,
    checkpoint_steps=3,
    seed=3,
)


def toy_net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(6 * 8 * 8, CLASSES),
    )


def toy_photos(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Photos of a bar at one of four positions, in noise, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    photos = 0.3 * torch.randn(count, 1, 10, 10, generator=generator)
    for photo, label in zip(photos, labels.tolist(), strict=True):
        photo[0, 1 + 2 * label : 3 + 2 * label] += 1
    return photos, labels


def toy_splits(recipe: Recipe = RECIPE, count: int = 170) -> Splits:
    train, test = (InMemoryDataset(*toy_photos(many, seed), recipe) for many, seed in ((count, 1), (90, 2)))
    validation = None
    if recipe.val_split:
        validation = train.subset(torch.arange(30))
        train = train.subset(torch.arange(30, count))
    names = tuple("abcd")
    preprocessing = Preprocessing((10, 10), "squash", 10, mean=(0.0,), std=(1.0,))
    return Splits("toys", train, validation, test, names, preprocessing, f"{count}")


def trained(
    folder: Path, recipe: Recipe = RECIPE, resume: bool = False, net: nn.Module | None = None
) -> TrainingResult:
    return fit(net or toy_net(), toy_splits(recipe), recipe, folder, resume=resume, device="cpu")
