"""Boosted LeNet-4: three LeNet-4 whose outputs are added (Drucker, Schapire & Simard 1993; LeCun et al. 1998).

The second net is trained on what the first finds hard, the third on what the two disagree about. Where the first is
confident its answer stands alone, and the other two need not run: on average, the paper says, this costs 1.75 times one
net. It does not say what confident means; here it is the largest output minus the second largest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from convatlas.genes.genome import Genome
from convatlas.genes.label import Label
from convatlas.nets.families.lenet import Config, LeNet
from convatlas.nets.initialize import start_by_fan_in
from convatlas.nets.net import Net


class Vote(nn.Module):
    """The first net's outputs where it is confident, else the sum of all three; (N, classes) each, same shape out.

    `threshold` is part of the weights: it is chosen on photos that the nets were not trained on. At first it is 1, half
    the distance between the targets 1 and -1.
    """

    label = Label("vote", "skip")

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.empty(()))

    threshold: Tensor

    def reset_parameters(self) -> None:
        self.threshold.fill_(1.0)

    def confident(self, first: Tensor) -> Tensor:
        """(N,): whether the largest output leads the second by at least the threshold; never so for one class."""
        if first.shape[1] < 2:
            return first.new_zeros(first.shape[0], dtype=torch.bool)
        best, second = first.topk(2, 1).values.unbind(1)
        return best - second >= self.threshold

    def forward(self, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
        return torch.where(self.confident(first)[:, None], first, first + second + third)


@dataclass(frozen=True)
class Prediction:
    """What `predict` found.

    Attributes:
        outputs: (N, classes), those of `forward`.
        skipped: (N,), for which photos the second and the third net did not run.
    """

    outputs: Tensor
    skipped: Tensor

    @property
    def classes(self) -> Tensor:
        """(N,): the number of the largest output."""
        return self.outputs.argmax(1)

    @property
    def cost(self) -> float:
        """Runs of a net a photo, 1 to 3: 1 + 2 p, p the share of photos for which all ran."""
        return 3 - 2 * self.skipped.double().mean().item()


class BoostedLeNet(Net):
    """Three nets side by side on the same photo, and their vote."""

    variants: ClassVar[dict[str, Config]] = {"boosted_lenet4": LeNet.variants["lenet4"]}

    head: Vote

    default_genome = staticmethod(LeNet.default_genome)

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        self.net1, self.net2, self.net3 = (LeNet(config, genome, classes, channels, size) for _ in range(3))
        self.head = Vote()

    def fill(self, module: nn.Module) -> None:
        start_by_fan_in(module)

    def iter_stages(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        answers = [self.net1(x), self.net2(x), self.net3(x)]
        yield from zip(("net1", "net2", "net3"), answers, strict=True)
        yield "head", self.head(*answers)

    @property
    def threshold(self) -> float:
        """By how much the first net's largest output must lead; in the weights, and in an exported graph a constant."""
        return self.head.threshold.item()

    @threshold.setter
    def threshold(self, value: float) -> None:
        self.head.threshold.fill_(value)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Prediction:
        """As `forward`, without gradients, but the second and third net see only the photos that need them."""
        outputs = self.net1(x).clone()  # (N, classes)
        skipped = self.head.confident(outputs)
        hard = x[~skipped]
        if len(hard):
            outputs[~skipped] = outputs[~skipped] + self.net2(hard) + self.net3(hard)
        return Prediction(outputs, skipped)
