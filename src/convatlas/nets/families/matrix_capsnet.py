"""Matrix capsules: poses of 4 x 4 numbers, routed by expectation and maximization (Hinton et al. 2018, figure 1).

Where the paper is silent this is a reconstruction: initial weights, temperature schedule and coordinates follow the
authors' later code (google-research/capsule_em), and the amount of data per parent is normalized as in Gritzman (2019).
Nobody else has reached the published errors: reimplementations get 4.6 to 10 % of smallNORB wrong, not 1.8 to 2.2 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convatlas.genes.em_routing import Windows
from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.matrix_capsules import (
    POSE,
    Activations,
    MatrixCapsules,
    MatrixRouting,
    MatrixVotes,
    PrimaryConvolution,
)
from convatlas.genes.normalization import Norm
from convatlas.nets.net import Net

NORM = Norm(eps=1e-5, momentum=0.1)
"""Settings for the net with a normalization gene; the published one has no normalization."""


@dataclass(frozen=True)
class Config:
    """Channels of the convolution and types of capsules in each layer; the paper calls these numbers A, B, C and D."""

    maps: int
    primary: int
    conv1: int
    conv2: int
    iterations: int = 3


class MatrixLayer(nn.Module):
    """Votes and routing; (N, B, 17, H, W) -> (N, J, 17, H', W')."""

    counts_as_one = True

    def __init__(
        self,
        genome: Genome,
        types: int,
        parents: int,
        windows: Windows,
        centres: tuple[list[float], list[float]] | None = None,
    ):
        super().__init__()
        self.votes = MatrixVotes(types, parents, windows, centres)
        self.routing = MatrixRouting(windows, types, parents, genome.iterations or 1)

    def forward(self, x: Tensor) -> Tensor:
        votes = self.votes(x)  # (N, windows, places, B, J, 16)
        return self.routing(votes, x)  # type: ignore[no-any-return]  # (N, J, 17, H', W')


class MatrixCapsNet(Net):
    """A strided convolution, primary capsules, two convolutional capsule layers, one capsule per class.

    (N, C, H, W) -> (N, classes), the activations of the class capsules, each in (0, 1) and independent. `outputs` also
    has "poses" (N, classes, 16).
    """

    variants = {"matrix_capsnet": Config(32, 32, 32, 32), "matrix_capsnet_small": Config(64, 8, 16, 16)}

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome.bare(
            normalization="none", activation="relu", attention="none", routing="em", iterations=config.iterations
        )

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        if genome.routing != "em":
            raise ValueError("matrix capsules need the routing em, because they have an activation beside their pose")
        self.conv = chain(
            **genome.conv(channels, config.maps, 5, 2, alignment="valid", bias=True, fixed=True),
            norm=genome.normalize(config.maps, NORM, "none"),
            act=genome.activate(config.maps),
            attention=genome.attend(config.maps),
        )
        self.primary = chain(conv=PrimaryConvolution(config.maps, config.primary), capsules=MatrixCapsules())
        first = Windows(((size[0] - 5) // 2 + 1, (size[1] - 5) // 2 + 1), (3, 3), 2)
        self.conv_capsules1 = MatrixLayer(genome, config.primary, config.conv1, first)
        second = Windows(first.positions, (3, 3))
        self.conv_capsules2 = MatrixLayer(genome, config.conv1, config.conv2, second)
        last = Windows(second.positions, second.positions)
        self.class_capsules = MatrixLayer(genome, config.conv2, classes, last, _centres(last.grid, size))
        self.head = chain(activations=Activations())

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs of all stages by name, and the poses of the class capsules."""
        outputs = super().outputs(x)
        return outputs | {"poses": outputs["class_capsules"][:, :, :POSE, 0, 0]}

    def loss(self, outputs: Mapping[str, Tensor], x: Tensor, labels: Tensor, progress: float = 1.0) -> Tensor:
        """Return the training loss: the spread loss, whose margin grows from 0.2 to 0.9.

        Args:
            outputs: Outputs of the net, as `outputs` returns them.
            x: Photos.
            labels: Class indices (N,).
            progress: Fraction of the training that is done, 0 to 1.
        """
        return spread_loss(outputs["head"], labels, 0.2 + 0.7 * progress)


def _centres(grid: tuple[int, int], size: tuple[int, int]) -> tuple[list[float], list[float]]:
    """Return the centres of the receptive fields of `grid`'s rows and columns, relative to the photo's size."""
    heights, widths = ([(8.5 + 4 * place) / side for place in range(n)] for n, side in zip(grid, size, strict=True))
    return heights, widths


def spread_loss(activations: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Return the mean over photos of the sum over wrong classes of max(0, margin - (true - wrong activation))^2.

    Activations (N, classes), labels (N,).
    """
    true = activations.gather(1, labels[:, None])
    missing = (margin - (true - activations)).clamp_min(0).square()
    wrong = torch.ones_like(activations).scatter(1, labels[:, None], 0.0)
    return (missing * wrong).sum(1).mean()
