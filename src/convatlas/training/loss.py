"""Losses, and a module that joins a net with its loss, so that both are compiled and distributed together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.base.errors import TrainingError
from convatlas.base.terminal.arguments import argument
from convatlas.nets.families.yolo import YOLO
from convatlas.nets.net import Net
from convatlas.nets.yolo_loss import detection_loss
from convatlas.training.recipe import Recipe

GARBAGE = 1.0
"""The constant j of LeNet-5's criterion: the distance of the class "not a digit" (LeCun et al. 1998, eq. 9)."""


def _mse(y: Tensor, target: Tensor) -> Tensor:
    return 0.5 * (y - (2 * target - 1)).square().sum(1)


def _map(y: Tensor, target: Tensor) -> Tensor:
    garbage = y.new_full((len(y), 1), -GARBAGE)
    return torch.logsumexp(torch.cat([y, garbage], 1), 1) - (y * target).sum(1)


CRITERIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": lambda y, target: F.cross_entropy(y, target, reduction="none"),
    "mse": _mse,
    "map": _map,
}
"""Functions (outputs (N, classes), target probabilities (N, classes)) -> losses (N,), by name."""

CRITERION_BY_OUTPUT = {"squashed": "mse", "rbf": "map"}
"""Criterion for each output gene; cross-entropy for all others."""


MAP_BY_LOSS = {"cross_entropy": "softmax", "mse": "halved", "map": "softmax"}
"""Map from outputs to probabilities, as in `Card.probabilities`, of a net trained with each loss."""


class NetWithLoss(nn.Module):
    """A net and its loss.

    Auxiliary outputs of a net of the atlas are weighted by `Net.loss_weights`; a net with a method `loss` (margins,
    reconstructions) computes its own.

    Args:
        net: The net; (N, C, H, W) -> (N, classes).
        recipe: Recipe that names the loss.
        class_weights: Weight of each class (classes,); None for equal weights.

    Attributes:
        probabilities: Map from the outputs to probabilities, as in `Card.probabilities`. A net of the user with a loss
            of its own names it in an attribute of this name; empty if it does not.

    Raises:
        TrainingError: The loss does not fit the net or, on the first batch, the net does not fit the classes.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, class_weights: Tensor | None = None):
        super().__init__()
        self.net: Any = net
        self.smoothing = recipe.smoothing
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.detects = isinstance(net, YOLO)
        has_loss = self.detects or callable(getattr(net, "loss", None))
        name = recipe.loss
        if name == "auto":
            gene = str(net.genome.output) if isinstance(net, Net) else ""
            name = "net" if has_loss else CRITERION_BY_OUTPUT.get(gene, "cross_entropy")
        if name == "net" and not has_loss:
            raise TrainingError("this net has no loss of its own; choose cross_entropy, mse or map")
        if isinstance(net, YOLO) and name != "net":
            raise TrainingError(f"{net.card.name} is a detector, which has a loss of its own: loss is auto or net")
        if name == "net" and (recipe.mixup or recipe.cutmix or recipe.smoothing or class_weights is not None):
            raise TrainingError(
                "the net's own loss takes one class a photo: no mixup, cutmix, smoothing, class_weights"
            )
        if isinstance(net, Net) and not has_loss and net.card.output_kind == "cell responses":
            raise TrainingError(f"{net.card.name} puts out {net.card.output_kind}, which cannot be trained as classes")
        self.criterion = None if name == "net" else CRITERIA[name]
        self.probabilities = MAP_BY_LOSS.get(name, str(getattr(net, "probabilities", "")))
        self.auxiliary: Mapping[str, float] = getattr(net, "loss_weights", {})

    class_weights: Tensor | None

    def forward(self, x: Tensor, labels: Tensor, target: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """Mean loss of a batch, and the net's outputs (N, classes).

        Args:
            x: The batch (N, C, H, W).
            labels: Class indices (N,), or boxes (N, T, 5).
            target: Target probabilities (N, classes).
            progress: Share of the training that is done, 0 to 1.
        """
        if self.detects:
            y = self.net(x)
            return detection_loss(self.net, y, labels, (x.shape[2], x.shape[3])), y
        if self.criterion is None:
            outputs = self.net.outputs(x)
            return self.net.loss(outputs, x, labels, progress), outputs["head"]
        if self.smoothing:
            target = target * (1 - self.smoothing) + self.smoothing / target.shape[1]
        if not (self.auxiliary and self.training):
            y = self.net(x)  # (N, classes)
            return self._mean(y, target), y
        outputs = self.net.outputs(x)
        loss = self._mean(outputs["head"], target)
        for name, weight in self.auxiliary.items():
            loss = loss + weight * self._mean(outputs[name], target)
        return loss, outputs["head"]

    def _mean(self, y: Tensor, target: Tensor) -> Tensor:
        assert self.criterion is not None
        if not isinstance(y, Tensor):
            raise TrainingError(f"the net returns a {type(y).__name__}, not one tensor (N, classes)")
        if y.shape != target.shape:
            outputs, classes = ("x".join(map(str, tensor.shape[1:])) for tensor in (y, target))
            raise TrainingError(f"the net has {outputs} outputs for a photo; the data have {classes} classes")
        # In float32, even if the net computes in less.
        losses = self.criterion(y.float() if y.dtype in (torch.bfloat16, torch.float16) else y, target.to(y.device))
        return (losses if self.class_weights is None else losses * (target @ self.class_weights)).mean()


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """Class weights inversely proportional to the classes' frequencies; their mean over the photos is 1.

    Raises:
        TrainingError: A class has no photo.
    """
    counts = labels.bincount(minlength=classes)
    if (empty := (counts == 0).nonzero()).numel():
        raise TrainingError(f"{argument('class_weights', 'balanced')}, but class {int(empty[0])} has no photo")
    return len(labels) / (classes * counts.float())
