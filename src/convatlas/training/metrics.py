"""Measure loss, accuracy and confusion matrix of a net on a data set, over all processes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from convatlas.base.untouched import evaluating
from convatlas.training.data.dataset import TrainingData, index_batches
from convatlas.training.distributed import World
from convatlas.training.loss import NetWithLoss

BATCH = 500


@dataclass(frozen=True)
class Score:
    """Metrics of a net on a data set.

    Attributes:
        loss: Mean loss over the photos.
        confusion: Confusion matrix: photos of class i classified as class j, at [i][j]; None for a detector.
        map50: Mean average precision of a detector at IoU 0.5, in percent; None for a classifier.
        precisions: Average precision of each class, 0 to 1; None for a class without objects.
    """

    loss: float
    confusion: tuple[tuple[int, ...], ...] | None
    map50: float | None = None
    precisions: tuple[float | None, ...] = ()

    @property
    def name(self) -> str:
        """Name of the metric that epochs are compared by: "top1" or "map50"."""
        return "top1" if self.map50 is None else "map50"

    @property
    def metric(self) -> float:
        """Value of that metric, in percent."""
        return self.top1 if self.map50 is None else self.map50

    @property
    def top1(self) -> float:
        """Accuracy of a classifier in percent."""
        assert self.confusion is not None
        correct = sum(row[index] for index, row in enumerate(self.confusion))
        return 100 * correct / sum(map(sum, self.confusion))

    @property
    def error(self) -> float:
        """Error rate in percent."""
        return 100 - self.top1


@torch.no_grad()
def score(module: NetWithLoss, dataset: TrainingData, classes: int, world: World, device: torch.device) -> Score:
    """Evaluate a net on all photos; the mode of its modules is restored."""
    mean, confusion = MeanMetric().to(device), MulticlassConfusionMatrix(classes).to(device)
    batches = index_batches(world.shard(torch.arange(len(dataset))), BATCH)
    with evaluating(module):
        for indices, (x, labels) in zip(batches, dataset.eval_batches(batches), strict=True):
            target = F.one_hot(labels, classes).float().to(device)
            loss, y = module(x.to(device), labels.to(device), target, 1.0)
            mean.update(loss, len(indices))
            confusion.update(y.argmax(1), labels.to(device))
    counts: Tensor = confusion.compute()
    return Score(float(mean.compute()), tuple(tuple(row) for row in counts.long().tolist()))
