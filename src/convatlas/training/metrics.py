"""How often a net is right on a part of the data: counted by torchmetrics, over all processes together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from convatlas.training.data.in_memory import Examples, batches
from convatlas.training.distributed import World
from convatlas.training.loss import Objective

BATCH = 500


@dataclass(frozen=True)
class Score:
    """What was counted.

    Attributes:
        loss: Mean over the photos.
        confusion: Photos of class i that were taken for class j, at [i][j].
    """

    loss: float
    confusion: tuple[tuple[int, ...], ...]

    @property
    def top1(self) -> float:
        """Share of photos that were taken for what they are, in percent."""
        right = sum(row[number] for number, row in enumerate(self.confusion))
        return 100 * right / sum(map(sum, self.confusion))

    @property
    def error(self) -> float:
        """The others, in percent."""
        return 100 - self.top1


@torch.no_grad()
def score(objective: Objective, examples: Examples, classes: int, world: World, device: torch.device) -> Score:
    """The score of a net on all photos; its mode is put back afterwards."""
    training = objective.training
    objective.eval()
    mean, confusion = MeanMetric().to(device), MulticlassConfusionMatrix(classes).to(device)
    plan = batches(world.mine(torch.arange(len(examples.labels))), BATCH)
    for chosen, x in zip(plan, examples.seen(plan), strict=True):
        labels = examples.labels[chosen]
        target = F.one_hot(labels, classes).float().to(device)
        loss, y = objective(x.to(device), labels.to(device), target, 1.0)
        mean.update(loss, len(chosen))
        confusion.update(y.argmax(1), labels.to(device))
    objective.train(training)
    counts: Tensor = confusion.compute()
    return Score(float(mean.compute()), tuple(tuple(row) for row in counts.long().tolist()))
