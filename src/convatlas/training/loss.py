"""The net and what is made small, as one module: what is run in many processes, and compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.base.errors import TrainingError
from convatlas.nets.net import Net
from convatlas.training.recipe import Recipe

GARBAGE = 1.0
"""j of LeNet-5's criterion: how far a photo that is no digit would be from its class (LeCun et al. 1998, eq. 9)."""


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
"""Answers (N, classes) and shares of the classes (N, classes) -> (N,)."""

OF_OUTPUTS = {"squashed": "mse", "rbf": "map"}
"""Which goes with an output gene; cross-entropy with all others."""


class Objective(nn.Module):
    """A net and its loss.

    Of a net of the atlas the auxiliary outputs count as `Net.loss_weights` says; a net that has a `loss` of its own
    (margins, reconstructions) is asked for it.

    Args:
        net: The net; (N, C, H, W) -> (N, classes).
        recipe: Says which loss.
        weights: What each class counts (classes,); None for all alike.

    Raises:
        TrainingError: The loss does not go with the net, or, once photos are seen, the net not with the classes.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, weights: Tensor | None = None):
        super().__init__()
        self.net: Any = net
        self.smoothing = recipe.smoothing
        self.register_buffer("weights", weights, persistent=False)
        own = callable(getattr(net, "loss", None))
        name = recipe.loss
        if name == "auto":
            gene = str(net.genome.output) if isinstance(net, Net) else ""
            name = "net" if own else OF_OUTPUTS.get(gene, "cross_entropy")
        if name == "net" and not own:
            raise TrainingError("this net has no loss of its own; cross_entropy, mse and map can be had")
        if name == "net" and (recipe.mixup or recipe.cutmix or recipe.smoothing or weights is not None):
            raise TrainingError(
                "the net's own loss takes one class a photo: no mixup, cutmix, smoothing, class_weights"
            )
        if isinstance(net, Net) and not own and net.card.output_kind in ("raw detector heads", "cell responses"):
            raise TrainingError(f"{net.card.name} puts out {net.card.output_kind}, of which no class can be learned")
        self.criterion = None if name == "net" else CRITERIA[name]
        self.side: Mapping[str, float] = getattr(net, "loss_weights", {})

    weights: Tensor | None

    def forward(self, x: Tensor, labels: Tensor, target: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """The mean loss of photos and the net's answers (N, classes).

        Args:
            x: The photos.
            labels: Numbers of their classes (N,).
            target: Shares of the classes in them (N, classes).
            progress: How much of the training is done, from 0 to 1.
        """
        if self.criterion is None:
            outputs = self.net.outputs(x)
            return self.net.loss(outputs, x, labels, progress), outputs["head"]
        if self.smoothing:
            target = target * (1 - self.smoothing) + self.smoothing / target.shape[1]
        if not (self.side and self.training):
            y = self.net(x)
            return self._mean(y, target), y
        outputs = self.net.outputs(x)
        loss = self._mean(outputs["head"], target)
        for name, weight in self.side.items():
            loss = loss + weight * self._mean(outputs[name], target)
        return loss, outputs["head"]

    def _mean(self, y: Tensor, target: Tensor) -> Tensor:
        assert self.criterion is not None
        if y.shape != target.shape:
            wanted, given = ("x".join(map(str, one.shape[1:])) for one in (target, y))
            raise TrainingError(f"the net has {given} outputs for a photo; the data have {wanted} classes")
        # In full precision, whatever the net computes in.
        losses = self.criterion(y.float() if y.dtype in (torch.bfloat16, torch.float16) else y, target.to(y.device))
        return (losses if self.weights is None else losses * (target @ self.weights)).mean()


def balanced(labels: Tensor, classes: int) -> Tensor:
    """Weights with which each class counts alike; their mean over the photos is 1."""
    counts = labels.bincount(minlength=classes)
    if (empty := (counts == 0).nonzero()).numel():
        raise TrainingError(f"class_weights=balanced, but there is no photo of class {int(empty[0])}")
    return len(labels) / (classes * counts.float())
