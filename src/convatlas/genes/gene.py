"""What a gene is: one named value of one locus, with its formula, its costs and its source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

Maker = Callable[..., nn.Module]

# The letters of `shape`, `parameters` and `macs`: N batch, C channels in, K channels out, H and W the output map's
# height and width, k the kernel's side, s the stride, r the squeezed channels. In `output` and `feedback`: F features,
# C units of the one hidden layer, K classes, s steps. In `routing`: I children, J parents, D numbers in a parent, s
# rounds. In `decoder`: F features, C, H and W the photo's.


@dataclass(frozen=True)
class Gene:
    """One value of a locus, such as `gelu` of `activation`.

    Attributes:
        locus: What it is a value of: convolution, padding, alignment, pooling, flattening, normalization,
            activation, attention, regularization, feedback, output, auxiliary, routing or decoder.
        name: Its name in that locus.
        formula: What it computes.
        shape: From which shape to which.
        parameters: How many parameters it has, as arithmetic in the letters above ("2*C").
        macs: Multiply-accumulate operations an image (convolutions, dense layers, fixed kernels; comparisons, scalings
            and elementwise functions count as none, as in the ResNet paper).
        source: Where it comes from.
        make: What makes the module; its arguments are those of the locus (see `Genome`).
        aliases: Other names that are understood.
    """

    locus: str
    name: str
    formula: str
    shape: str
    parameters: str
    macs: str
    source: str
    make: Maker
    aliases: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def chain(**modules: nn.Module | None) -> nn.Sequential:
    """The given modules one after the other under their names; those that are None are left out."""
    sequence = nn.Sequential()
    for name, module in modules.items():
        if module is not None:
            sequence.add_module(name, module)
    return sequence
