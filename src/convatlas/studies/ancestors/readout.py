"""A linear read-out of features: logistic regression, fitted to the end."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

DECAY = 1e-3
"""Weight of the squared weights in the loss, as the classes may be separable."""

ITERATIONS = 200


class ReadOut:
    """Logistic regression of classes on standardized features, fitted by L-BFGS in float64.

    Args:
        features: Features (N, F).
        labels: Class indices (N,).
        classes: Number of classes.
    """

    def __init__(self, features: Tensor, labels: Tensor, classes: int):
        x = features.double()
        deviation = x.std(0)
        self.mean, self.deviation = x.mean(0), torch.where(deviation > 1e-9, deviation, torch.ones_like(deviation))
        self.weight = torch.zeros(x.shape[1], classes, dtype=torch.float64, requires_grad=True)
        self.bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([self.weight, self.bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = F.cross_entropy(self.scores(x), labels) + DECAY * self.weight.square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]

    def scores(self, features: Tensor) -> Tensor:
        """Scores of the classes (N, classes), for features (N, F)."""
        return (features.double() - self.mean) / self.deviation @ self.weight + self.bias

    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        """Share of photos whose class is read correctly, in percent."""
        return 100 * float((self.scores(features).argmax(1) == labels).double().mean())
