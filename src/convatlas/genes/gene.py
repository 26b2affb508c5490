"""A gene: one choice at one locus (a slot of the net), with its formula, its costs and its source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from convatlas.base.terminal.brief import Brief

Maker = Callable[..., nn.Module]

# Letters in `shape`, `parameters` and `macs`: N batch size, C input channels, K output channels, n side of the input
# map, H and W height and width of the output map, k kernel size, s stride, g groups, p padding, r squeezed channels.
# In `output`, `auxiliary` and `feedback`: F features, C units of the one hidden layer, K classes, s steps. In
# `routing`: I children, J parents, D size of a parent, s rounds. In `decoder`: F features; C, H and W of the photo.


@dataclass(frozen=True)
class Gene(Brief):
    """A component that can fill a locus, such as `gelu` at `activation`.

    Attributes:
        locus: Locus that it fills: convolution, padding, alignment, pooling, flattening, normalization,
            activation, attention, skip, regularization, feedback, output, auxiliary, routing or decoder.
        name: Name, unique within the locus.
        formula: Formula that it computes.
        shape: Shape of the input and of the output.
        parameters: Number of parameters, as arithmetic in the letters above ("2*C").
        macs: Multiply-accumulates per image of convolutions, dense layers and fixed kernels; comparisons, scalings and
            elementwise functions are not counted, as in the ResNet paper.
        source: Publication that introduced it.
        make: Function that returns the module; its arguments depend on the locus (see `Genome`).
        aliases: Other accepted names.
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
    """Chain modules under the given names; None is skipped."""
    sequence = nn.Sequential()
    for name, module in modules.items():
        if module is not None:
            sequence.add_module(name, module)
    return sequence
