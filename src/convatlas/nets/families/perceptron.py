"""Perceptrons: the photo as one vector, then fully connected layers (section I of the review).

The variants are those that LeCun et al. 1998 compare on digits of 28 x 28 pixels, written 784-300-10 and so on.
Activation function and targets are those of their appendix A: 1.7159 tanh(2x / 3) on hidden and output units, targets 1
and -1; the linear classifier has no activation. The nets expect pixels of about mean 0 and variance 1: paper is -0.1,
ink 1.175.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from convatlas.genes.feedback import Layer
from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.layers import Dense
from convatlas.nets.module_init import init_by_fan_in
from convatlas.nets.net import Net


@dataclass(frozen=True)
class Config:
    """Hidden layers and feedback.

    Attributes:
        hidden: Units of each hidden layer.
        feedback: The feedback gene.
        steps: Number of steps of a net with feedback. Four steps are enough for the first output of a net with three
            layers to travel back to the input, one layer per step, and forward again.
    """

    hidden: tuple[int, ...]
    feedback: str = "none"
    steps: int = 4


class Perceptron(Net):
    """Flattening, hidden layers, one output per class; with feedback all dense layers are one stage, `head`."""

    variants = {
        "linear": Config(()),
        "mlp_300": Config((300,)),
        "mlp_1000": Config((1000,)),
        "mlp_300_100": Config((300, 100)),
        "mlp_1000_150": Config((1000, 150)),
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome.bare(
            flattening="flatten",
            activation="scaled_tanh" if config.hidden else "identity",
            feedback=config.feedback,
            output="squashed",
        )

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        self.flatten, features = self.make_flatten(genome, channels, channels, size)
        head = genome.output_layer((features, *config.hidden)[-1], classes)
        hidden = [
            Layer(f"hidden{number}", width, genome.activate(width)) for number, width in enumerate(config.hidden, 1)
        ]
        last = Layer("output", classes, dict(head.named_children()).get("act"))
        recurrence = genome.recur([Layer("input", features), *hidden, last], config.steps)
        if recurrence is not None and not isinstance(head, nn.Sequential):
            raise ValueError("feedback needs a dense or squashed output layer")
        in_channels = features
        for layer in hidden if recurrence is None else ():
            self.add_module(layer.name, chain(dense=Dense(in_channels, layer.width), act=layer.act))
            in_channels = layer.width
        self.head = head if recurrence is None else recurrence

    def init_weights(self, module: nn.Module) -> None:
        init_by_fan_in(module)
