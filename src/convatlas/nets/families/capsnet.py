"""CapsNet: two convolutions, capsules, and routing by agreement (Sabour, Frosst & Hinton 2017, figures 1 and 2).

Its merits are disputed. Routing was found to improve neither generalization nor robustness to affine changes, where a
net without it does better (Gu & Tresp 2020: 93.2 % instead of 79 % of affNIST); and reimplementations reach 99.6 to
99.7 % on MNIST, not the published 99.75 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convatlas.genes.capsules import Length, Mask, Squash, Votes
from convatlas.genes.decoder import HIDDEN
from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.normalization import Norm
from convatlas.nets.net import Net

NORM = Norm(eps=1e-5, momentum=0.1)
"""Settings for CapsNet with a normalization gene; the published net has no normalization."""

RECONSTRUCTION = 0.0005
"""Weight of the reconstruction's squared error, summed over the pixels, relative to the margin loss."""


@dataclass(frozen=True)
class Config:
    """Widths of the layers.

    Attributes:
        width: Output channels of both convolutions.
        kernel: Kernel size of both.
        primary_size: Size of a capsule in the first capsule layer.
        class_size: Size of a class's capsule.
        iterations: Number of routing rounds.
        hidden: Units of the decoder's two hidden layers.
    """

    width: int = 256
    kernel: int = 9
    primary_size: int = 8
    class_size: int = 16
    iterations: int = 3
    hidden: tuple[int, int] = HIDDEN


class Capsules(nn.Module):
    """A fully connected layer of capsules; (N, children, size) -> (N, parents, parent_size)."""

    counts_as_one = True

    def __init__(self, genome: Genome, children: int, parents: int, size: int, parent_size: int):
        super().__init__()
        self.votes = Votes(children, parents, size, parent_size)
        self.routing = genome.route(children, parents)
        self.length = Length() if getattr(self.routing, "needs_lengths", False) else None

    def forward(self, children: Tensor) -> Tensor:
        votes = self.votes(children)  # (N, children, parents, parent_size)
        return self.routing(votes) if self.length is None else self.routing(votes, self.length(children))  # type: ignore[no-any-return]


class Reconstruction(nn.Module):
    """Photo reconstructed from the capsule of one class; (N, classes, size) and (N,) -> (N, C, H, W) in 0..1."""

    def __init__(self, decoder: nn.Module):
        super().__init__()
        self.mask = Mask()
        self.decoder = decoder

    def forward(self, poses: Tensor, chosen: Tensor) -> Tensor:
        masked = self.mask(poses, chosen)  # (N, classes size)
        return self.decoder(masked)  # type: ignore[no-any-return]  # (N, C, H, W)


class CapsNet(Net):
    """Two 9 x 9 convolutions, capsules, a routed layer with one capsule per class, whose length is the score.

    (N, C, H, W) -> (N, classes), each in [0, 1) and independent: they do not sum to 1 and need no softmax. `outputs`
    also has "poses" (N, classes, 16), the class capsules (the paper's DigitCaps), and "reconstruction" (N, C, H, W),
    made from the longest capsule. `forward` does not compute the reconstruction.
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
            capsules=Squash(config.primary_size),
        )
        with torch.device("meta"), torch.no_grad():
            *_, (_, x) = self.iter_stages(torch.empty(1, channels, *size))
        self.poses = Capsules(genome, x.shape[1], classes, config.primary_size, config.class_size)
        self.head = chain(length=Length())
        decoder = genome.decode(classes * config.class_size, (channels, *size), config.hidden)
        if decoder is not None:
            self.reconstruction = Reconstruction(decoder)

    def init_weights(self, module: nn.Module) -> None:
        """Draw the first convolution with variance 2 / fan-in (He et al. 2015), other modules as usual.

        With 2 / fan-out, for 256 maps and one input channel, all capsules would initially have almost no length.
        """
        super().init_weights(module)
        if module is self.conv1.conv and isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def iter_stages(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Run the stages one by one, yielding name and output of each, without the reconstruction."""
        for name, stage in self.named_children():
            if name != "reconstruction":
                x = stage(x)
                yield name, x

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs of all stages by name, and the reconstruction if the net has a decoder."""
        outputs = super().outputs(x)
        if hasattr(self, "reconstruction"):
            outputs["reconstruction"] = self.reconstruct(outputs["poses"], outputs["head"].argmax(1))
        return outputs

    def reconstruct(self, poses: Tensor, labels: Tensor) -> Tensor:
        """Reconstruct photos (N, C, H, W) in 0..1 from the capsules of the classes `labels` (N,)."""
        return self.reconstruction(poses, labels)  # type: ignore[no-any-return]

    def loss(self, outputs: Mapping[str, Tensor], x: Tensor, labels: Tensor, progress: float = 1.0) -> Tensor:
        """Return the training loss: the mean margin loss plus 0.0005 times the reconstruction's squared error.

        In the loss the reconstruction is made from the capsule of the true class, not from the longest.

        Args:
            outputs: Outputs of the net, as `outputs` returns them.
            x: Photos in 0..1, like the reconstruction.
            labels: Class indices (N,).
            progress: Fraction of the training that is done, 0 to 1; this loss does not depend on it.
        """
        loss = margin_loss(outputs["head"], labels)
        if "reconstruction" in outputs:
            error = self.reconstruct(outputs["poses"], labels) - x
            loss = loss + RECONSTRUCTION * error.square().sum((1, 2, 3)).mean()
        return loss


def margin_loss(lengths: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over photos of max(0, 0.9 - length)^2 of the true class + max(0, length - 0.1)^2 / 2 of others.

    Lengths (N, classes), labels (N,).
    """
    true = torch.nn.functional.one_hot(labels, lengths.shape[1]).to(lengths.dtype)
    present = true * (0.9 - lengths).clamp_min(0).square()
    absent = (1 - true) * (lengths - 0.1).clamp_min(0).square()
    return (present + 0.5 * absent).sum(1).mean()
