"""Measure loss, accuracy and confusion matrix of a net on a data set, over all processes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from convatlas.base.untouched import evaluating
from convatlas.training.data.dataset import ImageDataset, index_batches
from convatlas.training.distributed import World
from convatlas.training.loss import NetWithLoss

BATCH = 500


@dataclass(frozen=True)
class Score:
    """Metrics of a net on a data set.

    Attributes:
        loss: Mean loss over the photos.
        confusion: Confusion matrix: photos of class i classified as class j, at [i][j].
    """

    loss: float
    confusion: tuple[tuple[int, ...], ...]

    @property
    def top1(self) -> float:
        """Accuracy in percent."""
        correct = sum(row[index] for index, row in enumerate(self.confusion))
        return 100 * correct / sum(map(sum, self.confusion))

    @property
    def error(self) -> float:
        """Error rate in percent."""
        return 100 - self.top1


@torch.no_grad()
def score(module: NetWithLoss, dataset: ImageDataset, classes: int, world: World, device: torch.device) -> Score:
    """Evaluate a net on all photos; the mode of its modules is restored."""
    mean, confusion = MeanMetric().to(device), MulticlassConfusionMatrix(classes).to(device)
    batches = index_batches(world.shard(torch.arange(len(dataset.labels))), BATCH)
    with evaluating(module):
        for indices, x in zip(batches, dataset.eval_batches(batches), strict=True):
            labels = dataset.labels[indices]
            target = F.one_hot(labels, classes).float().to(device)
            loss, y = module(x.to(device), labels.to(device), target, 1.0)
            mean.update(loss, len(indices))
            confusion.update(y.argmax(1), labels.to(device))
    counts: Tensor = confusion.compute()
    return Score(float(mean.compute()), tuple(tuple(row) for row in counts.long().tolist()))
