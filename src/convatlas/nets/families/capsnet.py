"""CapsNet: two convolutions, capsules, and routing by agreement (Sabour, Frosst & Hinton 2017, figures 1 and 2).

What it is worth is disputed. Routing was found to add nothing to generalization nor to robustness against affine
changes, which a net without it has more of (Gu & Tresp 2020: 93.2 % of affNIST in place of 79 %); and reimplementations
reach 99.6 to 99.7 % of MNIST, not the 99.75 % that were published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convatlas.genes.capsules import Length, Mask, Squash, Votes
from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.normalization import Norm
from convatlas.nets.net import Net

NORM = Norm(eps=1e-5, momentum=0.1)
"""For CapsNet with a normalization gene; the published net has none."""

RECONSTRUCTION = 0.0005
"""What the reconstruction's squared error, summed over the photo's pixels, counts beside the margin loss."""


@dataclass(frozen=True)
class Config:
    """How wide the net is.

    Attributes:
        width: Maps of both convolutions.
        kernel: Their side.
        primary: Numbers in a capsule of the first capsule layer.
        wide: Numbers in a class's capsule.
        iterations: Rounds of routing.
    """

    width: int = 256
    kernel: int = 9
    primary: int = 8
    wide: int = 16
    iterations: int = 3


class Capsules(nn.Module):
    """A layer of capsules above another, fully connected; (N, children, size) -> (N, parents, wide)."""

    counts_as_one = True

    def __init__(self, genome: Genome, children: int, parents: int, size: int, wide: int):
        super().__init__()
        self.votes = Votes(children, parents, size, wide)
        self.routing = genome.route(children, parents)
        self.length = Length() if getattr(self.routing, "weighs_children", False) else None

    def forward(self, children: Tensor) -> Tensor:
        votes = self.votes(children)
        return self.routing(votes) if self.length is None else self.routing(votes, self.length(children))  # type: ignore[no-any-return]


class Reconstruction(nn.Module):
    """The photo, made back from the capsule of one class; (N, classes, wide) and (N,) -> (N, C, H, W) in 0..1."""

    def __init__(self, decoder: nn.Module):
        super().__init__()
        self.mask = Mask()
        self.decoder = decoder

    def forward(self, poses: Tensor, chosen: Tensor) -> Tensor:
        return self.decoder(self.mask(poses, chosen))  # type: ignore[no-any-return]


class CapsNet(Net):
    """Two convolutions of 9 x 9, capsules, a routed layer with one capsule a class; its length is the answer.

    (N, C, H, W) -> (N, classes), each in [0, 1) and for itself: they sum to nothing, and no softmax belongs on them.
    `outputs` has "poses" (N, classes, 16), the class capsules (the paper's DigitCaps), and "reconstruction"
    (N, C, H, W), made from the longest. `forward` leaves the reconstruction out.
    """

    variants = {"capsnet": Config()}

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome.bare(
            convolution="dense",
            normalization="none",
            activation="relu",
            attention="none",
            routing="dynamic",
            decoder="dense",
            iterations=config.iterations,
        )

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        kernel, width = config.kernel, config.width
        self.conv1 = chain(
            **genome.conv(channels, width, kernel, alignment="valid", bias=True, fixed=True),
            norm=genome.normalize(width, NORM, "none"),
            act=genome.activate(width),
            attention=genome.attend(width),
        )
        self.primary = chain(
            **genome.conv(width, width, kernel, 2, alignment="valid", bias=True),
            capsules=Squash(config.primary),
        )
        with torch.device("meta"), torch.no_grad():
            *_, (_, x) = self.iter_stages(torch.empty(1, channels, *size))
        self.poses = Capsules(genome, x.shape[1], classes, config.primary, config.wide)
        self.head = chain(length=Length())
        decoder = genome.decode(classes * config.wide, (channels, *size))
        if decoder is not None:
            self.reconstruction = Reconstruction(decoder)

    def init_weights(self, module: nn.Module) -> None:
        """As each module starts; but the first convolution with variance 2 / fan-in (He et al. 2015).

        By the fan-out of 256 maps over a photo of one channel, no capsule would have any length to start with.
        """
        super().init_weights(module)
        if module is self.conv1.conv and isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def iter_stages(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each stage's name and output in turn, without the reconstruction."""
        for name, stage in self.named_children():
            if name != "reconstruction":
                x = stage(x)
                yield name, x

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Every stage's output by the stage's name, and the reconstruction from the longest capsule if there is any."""
        found = super().outputs(x)
        if hasattr(self, "reconstruction"):
            found["reconstruction"] = self.reconstruct(found["poses"], found["head"].argmax(1))
        return found

    def reconstruct(self, poses: Tensor, labels: Tensor) -> Tensor:
        """The photos (N, C, H, W), in 0..1, as the capsules of the classes `labels` (N,) tell them."""
        return self.reconstruction(poses, labels)  # type: ignore[no-any-return]

    def loss(self, outputs: Mapping[str, Tensor], x: Tensor, labels: Tensor, progress: float = 1.0) -> Tensor:
        """What training makes small: the mean margin loss, and 0.0005 times the reconstruction's squared error.

        The reconstruction is made from the true class's capsule here, not from the longest.

        Args:
            outputs: Of the net, as `outputs` gives them.
            x: The photos, in 0..1 (the reconstruction is).
            labels: Numbers of their classes (N,).
            progress: How much of the training is done, from 0 to 1; this loss is the same throughout.
        """
        loss = margin_loss(outputs["head"], labels)
        if "reconstruction" in outputs:
            error = self.reconstruct(outputs["poses"], labels) - x
            loss = loss + RECONSTRUCTION * error.square().sum((1, 2, 3)).mean()
        return loss


def margin_loss(lengths: Tensor, labels: Tensor) -> Tensor:
    """The mean over photos of max(0, 0.9 - length)^2 for the true class and max(0, length - 0.1)^2 / 2 for each other.

    Lengths (N, classes), labels (N,).
    """
    true = torch.nn.functional.one_hot(labels, lengths.shape[1]).to(lengths.dtype)
    there = true * (0.9 - lengths).clamp_min(0).square()
    absent = (1 - true) * (lengths - 0.1).clamp_min(0).square()
    return (there + 0.5 * absent).sum(1).mean()
