"""Darknet-19 (Redmon & Farhadi 2017, table 6) and Darknet-53 (Redmon & Farhadi 2018, table 1), as classifiers."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.layers import Convolution
from convatlas.nets.darknet_steps import Conv, Pool, Residual, Step, stage
from convatlas.nets.net import Net

DARKNET19: tuple[tuple[Step, ...], ...] = (
    (Conv(32),),
    (Pool(), Conv(64)),
    (Pool(), Conv(128), Conv(64, 1), Conv(128)),
    (Pool(), Conv(256), Conv(128, 1), Conv(256)),
    (Pool(), Conv(512), Conv(256, 1), Conv(512), Conv(256, 1), Conv(512)),
    (Pool(), Conv(1024), Conv(512, 1), Conv(1024), Conv(512, 1), Conv(1024)),
)

DARKNET53: tuple[tuple[Step, ...], ...] = (
    (Conv(32),),
    (Conv(64, stride=2), *[Residual()] * 1),
    (Conv(128, stride=2), *[Residual()] * 2),
    (Conv(256, stride=2), *[Residual()] * 8),
    (Conv(512, stride=2), *[Residual()] * 8),
    (Conv(1024, stride=2), *[Residual()] * 4),
)


@dataclass(frozen=True)
class Config:
    """Stages before the classifier.

    Attributes:
        stages: The steps of each stage; all but the first begin by halving the map.
        classify_first: Whether each position is classified before averaging, instead of after.
    """

    stages: tuple[tuple[Step, ...], ...]
    classify_first: bool = False


def depth_fractions(stages: tuple[tuple[Step, ...], ...]) -> list[float]:
    """Return the depth of each residual block in the net, from 0 to 1."""
    count = sum(isinstance(step, Residual) for steps in stages for step in steps)
    return [number / max(count - 1, 1) for number in range(count)]


class Darknet(Net):
    """Six stages, of which the first keeps the photo's size, then a 1 x 1 convolution or a dense layer."""

    variants = {"darknet19": Config(DARKNET19, classify_first=True), "darknet53": Config(DARKNET53)}

    @staticmethod
    def default_genome(config: Config) -> Genome:
        plain = config.classify_first
        return Genome(
            alignment="symmetric",
            pooling="max" if plain else None,
            normalization="batch_darknet",
            activation="leaky_darknet",
            skip=None if plain else "residual",
            dropout=0.0,
            stochastic_depth=None if plain else 0.0,
        )

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        width, depths = channels, iter(depth_fractions(config.stages))
        for number, steps in enumerate(config.stages, 1):
            steps_module, width = stage(genome, width, steps, depth_fractions=depths, fixed=number == 1)
            self.add_module(f"stage{number}", steps_module)
        if not config.classify_first:
            self.add_classifier(genome, width, channels, size, classes)
            return
        flatten, features = genome.flatten(classes)
        if features != classes:
            raise ValueError("this net flattens one map per class, so its flattening must give one number per map")
        self.head = chain(drop=genome.drop(), conv=Convolution(width, classes, 1), flatten=flatten)
