"""LeNets: convolutions and trainable subsampling in turn, sparsely connected (LeCun et al. 1990, 1998).

LeNet-1 takes digits of 28 x 28 pixels, LeNet-4 and LeNet-5 the same padded to 32 x 32, with pixels of about mean 0 and
variance 1: paper is -0.1, ink 1.175. Every layer ends in 1.7159 tanh(2x / 3). The outputs of LeNet-1 and LeNet-4 are
squashed too, with targets 1 and -1; those of LeNet-5 are distances to bitmaps.

The papers do not say whether LeNet-1's subsampling is squashed (here it is, as in LeNet-5), how subsampling is
initialized (here as an average), and how LeNet-4 is connected (see `F5`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import PUBLISHED, Genome
from convatlas.genes.label import Label
from convatlas.genes.layers import Dense
from convatlas.genes.normalization import Norm
from convatlas.genes.sparse_connections import Links
from convatlas.genes.structural import Repeat
from convatlas.nets.module_init import init_by_fan_in
from convatlas.nets.net import Net

NORM = Norm(eps=1e-5, momentum=0.1)
"""Settings for LeNets with a normalization gene; the published ones have no normalization."""


def _links(rows: str) -> Links:
    """Parse a connection table, a group of digits per output: in "01 2" one reads 0 and 1, one reads 2."""
    return tuple(tuple(int(digit) for digit in row) for row in rows.split())


H3 = _links("0 01 01 1 01 01 2 23 23 3 23 23")
"""LeNet-1: 20 links, "two almost independent modules"; table 1 of the paper, from public reimplementations. The printed
counts (2,578 parameters, 98,442 connections) hold for any 20 links."""

C3 = _links("012 123 234 345 045 015 0123 1234 2345 0345 0145 0125 0134 1245 0235 012345")
"""LeNet-5: 60 links, table I of the paper."""

C3_OF_LENET4 = _links("012 234 456 067 0123 1234 2345 3456 4567 0567 0167 0127 0145 1256 2367 0347")
"""LeNet-4: 60 links from 8 maps, ours, in the pattern of LeNet-5: three or four neighbours, or two separate pairs."""

F5: Links = tuple(
    tuple(sorted((14 * (unit // 3) + 5 * (unit % 3) + step) % 16 for step in range(4 if unit % 3 == 2 else 5)))
    for unit in range(120)
)
"""LeNet-4: 560 links, ours; the 16 maps go in turn to the 120 units, 5, 5 and 4 at a time. The paper prints about
17,000 parameters and 260,000 connections, but 120 units that read all 16 maps would have 48,120 parameters. With these
links and those above there are 16,998 and 258,306. `lenet4_dense` has the units that read all maps."""


@dataclass(frozen=True)
class Conv:
    """A 5 x 5 convolution to `width` maps, without padding."""

    width: int
    links: Links | None = None


@dataclass(frozen=True)
class Subsample:
    """Trainable subsampling by 2, each map giving `times` subsampled maps."""

    times: int = 1


@dataclass(frozen=True)
class FullConv:
    """A 5 x 5 convolution over maps of 5 x 5 pixels, whose outputs are `width` single units."""

    width: int
    links: Links | None = None


@dataclass(frozen=True)
class Config:
    """Layers by the papers' names, units of the dense layers after them, and the output gene."""

    layers: dict[str, Conv | Subsample | FullConv]
    dense: dict[str, int] = field(default_factory=dict)
    output: str = "squashed"


def _lenet4(links: Links | None) -> Config:
    below: dict[str, Conv | Subsample | FullConv] = {
        "c1": Conv(4),
        "s2": Subsample(2),
        "c3": Conv(16, C3_OF_LENET4),
        "s4": Subsample(),
    }
    return Config(below | {"f5": FullConv(120, links)})


class LeNet(Net):
    """Convolutions and subsampling, flattening (with dropout, if the genome has any), dense layers."""

    variants = {
        "lenet1": Config({"h1": Conv(4), "h2": Subsample(), "h3": Conv(12, H3), "h4": Subsample()}),
        "lenet4": _lenet4(F5),
        "lenet4_dense": _lenet4(None),
        "lenet5": Config(
            {"c1": Conv(6), "s2": Subsample(), "c3": Conv(16, C3), "s4": Subsample(), "c5": FullConv(120)},
            {"f6": 84},
            "rbf",
        ),
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome(
            convolution=PUBLISHED,
            alignment="valid",
            pooling="subsampling",
            flattening="flatten",
            normalization="none",
            activation="scaled_tanh",
            output=config.output,
        )

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        in_channels = channels
        for name, layer in config.layers.items():
            if isinstance(layer, Subsample):
                in_channels *= layer.times
                stage = chain(
                    repeat=Repeat(layer.times) if layer.times > 1 else None,
                    pool=genome.pool(in_channels, 2, 2, kind="subsampling"),
                    act=genome.activate(in_channels),
                )
            else:
                kind = "linked" if layer.links else "dense"
                conv = genome.conv(
                    in_channels, layer.width, 5, kind=kind, bias=True, fixed=not len(self._modules), links=layer.links
                )
                # Single units have no map to normalize or attend to.
                maps = isinstance(layer, Conv)
                in_channels = layer.width
                stage = chain(
                    **conv,
                    norm=genome.normalize(in_channels, NORM, "none") if maps else None,
                    act=genome.activate(in_channels),
                    attention=genome.attend(in_channels) if maps else None,
                )
            self.add_module(name, stage)
        flatten, features = self.make_flatten(genome, in_channels, channels, size)
        self.flatten = chain(flatten=flatten, drop=genome.drop())
        for name, width in config.dense.items():
            self.add_module(name, chain(dense=Dense(features, width), act=genome.activate(width)))
            features = width
        self.head = genome.output_layer(features, classes)

    def init_weights(self, module: nn.Module) -> None:
        init_by_fan_in(module)


class Vote(nn.Module):
    """The first net's outputs if it is confident, else the sum of all three; (N, classes) each, same shape.

    `threshold` is part of the weights; it should be chosen on photos that the nets were not trained on. Initially it is
    1, half the distance between the targets 1 and -1.
    """

    label = Label("vote", "skip")

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.empty(()))

    threshold: Tensor

    def reset_parameters(self) -> None:
        self.threshold.fill_(1.0)

    def confident(self, first: Tensor) -> Tensor:
        """Whether the largest output exceeds the second by at least the threshold (N,); False for a single class."""
        if first.shape[1] < 2:
            return first.new_zeros(first.shape[0], dtype=torch.bool)
        best, second = first.topk(2, 1).values.unbind(1)
        return best - second >= self.threshold

    def forward(self, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
        return torch.where(self.confident(first)[:, None], first, first + second + third)  # (N, classes)


@dataclass(frozen=True)
class Prediction:
    """Result of `predict`.

    Attributes:
        outputs: Outputs of `forward` (N, classes).
        skipped: Photos for which the second and third net did not run (N,).
    """

    outputs: Tensor
    skipped: Tensor

    @property
    def classes(self) -> Tensor:
        """Indices of the largest outputs (N,)."""
        return self.outputs.argmax(1)

    @property
    def cost(self) -> float:
        """Average number of nets that run per photo, 1 to 3: 1 + 2 p, where p is the fraction of photos not skipped."""
        return 3 - 2 * self.skipped.double().mean().item()


class BoostedLeNet(Net):
    """Boosted LeNet-4: three LeNet-4s whose outputs are added (Drucker et al. 1993; LeCun et al. 1998).

    The second net is trained on photos that the first finds hard, the third on those about which the two disagree. If
    the first is confident, its outputs are used alone, and the other two need not run: according to the paper 1.75 nets
    run on average. The paper does not define confidence; here it is the largest output minus the second largest.
    """

    variants = {"boosted_lenet4": LeNet.variants["lenet4"]}

    head: Vote

    default_genome = staticmethod(LeNet.default_genome)

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        self.net1, self.net2, self.net3 = (LeNet(config, genome, classes, channels, size) for _ in range(3))
        self.head = Vote()

    def init_weights(self, module: nn.Module) -> None:
        init_by_fan_in(module)

    def iter_stages(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        outputs = [self.net1(x), self.net2(x), self.net3(x)]
        yield from zip(("net1", "net2", "net3"), outputs, strict=True)
        yield "head", self.head(*outputs)

    @property
    def threshold(self) -> float:
        """Lead of the largest output that makes the first net confident; part of the weights, constant in exports."""
        return self.head.threshold.item()

    @threshold.setter
    def threshold(self, value: float) -> None:
        self.head.threshold.fill_(value)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Prediction:
        """Compute `forward` without gradients; the second and third net run only where the first is not confident."""
        outputs = self.net1(x).clone()  # (N, classes)
        skipped = self.head.confident(outputs)
        hard = x[~skipped]
        if len(hard):
            outputs[~skipped] = outputs[~skipped] + self.net2(hard) + self.net3(hard)
        return Prediction(outputs, skipped)
